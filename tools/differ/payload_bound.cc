// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// References of a shared object's code to names that other images may define:
// its own functions and variables, which the program may preempt, and those of
// its libraries and of the program that has loaded it. The dynamic linker has
// bound each of them in the shared object, and the new code goes there, too.

#include "absl/strings/string_view.h"
#include "tools/differ/payload.h"

namespace instar {
namespace differ {
namespace {

using generated_module::ImportKind;

// call x, jmp x, jcc x; call *x@GOTPCREL(%rip), jmp *x@GOTPCREL(%rip)
bool IsCall(const Section& section, const Relocation& relocation) {
  const absl::string_view code = section.bytes;
  const std::uint64_t at = relocation.offset;
  if (!section.Has(SHF_EXECINSTR) || at < 2 || at > code.size()) {
    return false;
  }
  const auto first = static_cast<unsigned char>(code[at - 2]);
  const auto last = static_cast<unsigned char>(code[at - 1]);
  switch (relocation.type) {
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
      return last == 0xe8 || last == 0xe9 ||
             (first == 0x0f && (last & 0xf0) == 0x80);
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
      return first == 0xff && (last == 0x15 || last == 0x25);
    default:
      return false;
  }
}

}  // namespace

std::optional<Payload::Target> Payload::ResolveBound(
    const Unit* defined, const Section& section, const Relocation& relocation) {
  const Symbol& symbol = object_.SymbolOf(relocation);
  const LinkedImage::Slot* slot =
      context_.state->target().FindSlot(symbol.name);
  if (slot == nullptr || symbol.type == STT_TLS ||
      symbol.visibility != STV_DEFAULT ||
      !(slot->is_address || IsCall(section, relocation))) {
    return std::nullopt;
  }
  // The new one, which nothing of the old build refers to.
  if (defined != nullptr && defined->status == UnitStatus::kNew &&
      !PlaceOf(*defined)) {
    return std::nullopt;
  }
  Target target;
  target.import = Import{{0, slot->address},
                         relocation.addend,
                         std::string(symbol.name),
                         false,
                         slot};
  imported_names_.insert(std::string(symbol.name));
  return target;
}

// What has no such place is the shared object's own, unless another image has
// it, which the loader sees.
void Payload::CheckPreemption(absl::string_view name, Place place,
                              ImportKind kind) {
  if (place.image != 0 || !context_.state->target().MayBePreempted(name)) {
    return;
  }
  const auto inserted =
      checked_names_.emplace(name, std::make_pair(kind, place));
  if (kind == ImportKind::kIsOwn) inserted.first->second.first = kind;
}

// False: an instruction that is not known.
bool Payload::RelocateBound(const Section& section,
                            const Relocation& relocation,
                            const Import& import) {
  const ObjectWriter::SectionId id = section_of_.at(section.index);
  switch (relocation.type) {
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
      if (!IsCall(section, relocation)) return false;
      writer_.AddRelocation(id, {relocation.offset, R_X86_64_PC32, Stub(import),
                                 relocation.addend});
      return true;
    case R_X86_64_64:
      fields_.push_back(
          {id, relocation.offset, import, ImportKind::kContents64});
      return true;
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
    case kCode4Gotpcrelx:
      fields_.push_back(
          {id, relocation.offset, import, ImportKind::kRelative32});
      return true;
    default:
      return false;
  }
}

// What a call jumps to that has room for a displacement to code alone:
// jmp *slot(%rip), as the entries of a procedure linkage table do.
ObjectWriter::SymbolId Payload::Stub(const Import& import) {
  const auto known = stubs_.find(import.name);
  if (known != stubs_.end()) return known->second;
  ObjectWriter::NewSection section;
  section.name = ".text.instar_stub";
  section.type = SHT_PROGBITS;
  section.flags = SHF_ALLOC | SHF_EXECINSTR;
  section.alignment = 8;
  section.bytes = std::string("\xff\x25\0\0\0\0\x0f\x0b", 8);
  const ObjectWriter::SectionId id = writer_.AddSection(std::move(section));
  Import slot = import;
  slot.addend = -4;
  fields_.push_back({id, 2, slot, ImportKind::kRelative32});
  return stubs_[import.name] = writer_.SectionSymbol(id);
}

}  // namespace differ
}  // namespace instar
