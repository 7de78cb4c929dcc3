// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

// How the module's code reaches thread-local variables.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/payload.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

bool Has(const std::string& code, std::uint64_t at, absl::string_view bytes) {
  return at <= code.size() &&
         code.compare(at, bytes.size(), bytes.data(), bytes.size()) == 0;
}

// lea x@tlsdesc(%rip), %reg, whose field is at `at`, becomes mov $offset, %reg.
// False: it is something else.
bool ReplaceDescriptor(std::string& code, std::uint64_t at,
                       std::int32_t offset) {
  if (at < 3 || at + 4 > code.size()) return false;
  const auto byte = [&](std::uint64_t i) {
    return static_cast<unsigned char>(code[i]);
  };
  // The register's fourth bit is in the prefix, REX.R or REX.B.
  const bool is_upper = byte(at - 3) == 0x4c;
  if ((byte(at - 3) != 0x48 && !is_upper) || byte(at - 2) != 0x8d ||
      (byte(at - 1) & 0xc7) != 5) {
    return false;
  }
  code[at - 3] = is_upper ? '\x49' : '\x48';
  code[at - 2] = '\xc7';
  code[at - 1] = static_cast<char>(0xc0 | (byte(at - 1) >> 3 & 7));
  Put32(code, at, offset);
  return true;
}

// call *x@tlscall(%rax) becomes a no-op of its length.
bool ReplaceDescriptorCall(std::string& code, std::uint64_t at) {
  if (!Has(code, at, "\xff\x10")) return false;
  code.replace(at, 2, "\x66\x90");
  return true;
}

// lea x@tlsld(%rip), %rdi, whose field is at `at`; call __tls_get_addr,
// directly or through a table: becomes mov %fs:0, %rax. Returns where the field
// of the call was.
std::optional<std::uint64_t> ReplaceModuleBase(std::string& code,
                                               std::uint64_t at) {
  const bool is_direct = Has(code, at + 4, "\xe8");
  const bool is_indirect = Has(code, at + 4, "\xff\x15");
  if (at < 3 || !Has(code, at - 3, "\x48\x8d\x3d") ||
      (!is_direct && !is_indirect)) {
    return std::nullopt;
  }
  // With prefixes that fill the room.
  std::string replacement(is_indirect ? 4 : 3, '\x66');
  replacement.append("\x64\x48\x8b\x04\x25\0\0\0\0", 9);
  code.replace(at - 3, replacement.size(), replacement);
  return at + (is_indirect ? 6 : 5);
}

}  // namespace

// From the thread pointer (x86-64 psABI, "ELF Handling For Thread-Local
// Storage", variant II).
std::int32_t Payload::ThreadOffset(const Import& import,
                                   std::int64_t addend) const {
  return static_cast<std::int32_t>(
      static_cast<std::int64_t>(import.place.address) + addend -
      static_cast<std::int64_t>(context_.state->target().thread_locals_size()));
}

// A thread-local variable of the program lies at a known distance from the
// thread pointer, also for code that was compiled to ask for its address. These
// are the replacements that a linker makes, too. False: an unknown instruction.
bool Payload::RelocateThreadLocal(const Unit& /*unit*/, const Section& section,
                                  const Relocation& relocation,
                                  const Import& import) {
  const ObjectWriter::SectionId id = section_of_.at(section.index);
  std::string& code = writer_.BytesOf(id);
  const std::uint64_t at = relocation.offset;
  const auto has = [&](std::uint64_t begin, absl::string_view bytes) {
    return begin <= code.size() &&
           code.compare(begin, bytes.size(), bytes.data(), bytes.size()) == 0;
  };
  switch (relocation.type) {
    case R_X86_64_TLSGD: {
      // data16 lea x@tlsgd(%rip), %rdi; data16 data16 rex64 call
      // __tls_get_addr
      if (at < 4 || !has(at - 4, absl::string_view("\x66\x48\x8d\x3d", 4)) ||
          !(has(at + 4, absl::string_view("\x66\x66\x48\xe8", 4)) ||
            has(at + 4, absl::string_view("\x66\x48\xff\x15", 4)))) {
        return false;
      }
      // mov %fs:0, %rax; lea offset(%rax), %rax
      code.replace(at - 4, 12,
                   std::string("\x64\x48\x8b\x04\x25\0\0\0\0\x48\x8d\x80", 12));
      Put32(code, at + 8, ThreadOffset(import, 0));
      for (const Relocation& other : section.relocations) {
        if (other.offset == at + 8) done_.insert(&other);  // of the call
      }
      return true;
    }
    case R_X86_64_GOTTPOFF:
      RelocateThroughSlot(section, relocation, import);
      return true;
    case R_X86_64_GOTPC32_TLSDESC:
      return ReplaceDescriptor(code, at, ThreadOffset(import, 0));
    case R_X86_64_TLSDESC_CALL:
      return ReplaceDescriptorCall(code, at);
    case R_X86_64_TPOFF32:
      Put32(code, at, ThreadOffset(import, import.addend));
      return true;
    default:
      return false;
  }
}

// One call gives the start of the image's thread-local variables, and offsets
// lead to each. So they are all of the program, or all of the module.
void Payload::RelocateLocalDynamic(const Unit& unit, const Section& section,
                                   const LocalDynamic& found) {
  const ObjectWriter::SectionId id = section_of_.at(section.index);
  std::string imported;
  bool has_own = false;
  std::optional<ObjectWriter::SymbolId> own;
  for (const auto& offset : found.offsets) {
    if (offset.second.import) {
      imported = offset.second.import->name;
    } else {
      has_own = true;
      own = offset.second.symbol;
    }
  }
  if (!imported.empty() && has_own) {
    Refuse(unit, absl::StrCat("uses thread_local variables of the program (",
                              Demangle(imported),
                              ") and new ones by one call. Use the new ones in "
                              "a function of their own"));
    return;
  }
  std::string& code = writer_.BytesOf(id);
  if (imported.empty()) {
    for (const Relocation* base : found.bases) {
      const ObjectWriter::SymbolId symbol =
          own && base->type == R_X86_64_TLSLD
              ? *own
              : External(object_.SymbolOf(*base), false);
      writer_.AddRelocation(id,
                            {base->offset, base->type, symbol, base->addend});
    }
    for (const auto& offset : found.offsets) {
      writer_.AddRelocation(id, {offset.first->offset, offset.first->type,
                                 offset.second.symbol, offset.second.addend});
    }
    return;
  }
  for (const Relocation* base : found.bases) {
    bool is_known = false;
    if (base->type == R_X86_64_GOTPC32_TLSDESC) {
      // Offsets will be those from the thread pointer.
      is_known = ReplaceDescriptor(code, base->offset, 0);
    } else if (base->type == R_X86_64_TLSDESC_CALL) {
      is_known = ReplaceDescriptorCall(code, base->offset);
    } else if (const auto call = ReplaceModuleBase(code, base->offset)) {
      is_known = true;
      writer_.DropRelocation(id, *call);
      fields_.erase(std::remove_if(fields_.begin(), fields_.end(),
                                   [&](const Field& field) {
                                     return field.section == id &&
                                            field.offset == *call;
                                   }),
                    fields_.end());
    }
    if (!is_known) {
      Refuse(unit,
             "reaches its thread_local variables in a way that is not "
             "known");
      return;
    }
  }
  for (const auto& offset : found.offsets) {
    Put32(code, offset.first->offset,
          ThreadOffset(*offset.second.import, offset.second.import->addend));
  }
}
}  // namespace differ
}  // namespace instar
