// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/judges/never_left.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

#include "Zydis/Zydis.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

struct Transfer {
  bool is_return;
  bool is_call;
  bool is_indirect;            // by a register, or by memory
  std::uint64_t end;           // of the instruction, in the section
  const Relocation* leads_to;  // null: to this section, or it is not known
};

// Calls `visit` for each instruction that goes elsewhere, until that says
// false. Returns whether all of the section could be read.
bool ForEachTransfer(const Section& code,
                     absl::FunctionRef<bool(const Transfer&)> visit) {
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  auto relocation = code.relocations.begin();
  for (std::uint64_t at = 0; at < code.bytes.size();) {
    ZydisDecodedInstruction instruction;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
            &decoder, nullptr, code.bytes.data() + at, code.bytes.size() - at,
            &instruction))) {
      return false;
    }
    at += instruction.length;
    Transfer transfer = {};
    transfer.end = at;
    while (relocation != code.relocations.end() && relocation->offset < at) {
      transfer.leads_to = &*relocation++;
    }
    switch (instruction.meta.category) {
      case ZYDIS_CATEGORY_RET:
        transfer.is_return = true;
        break;
      case ZYDIS_CATEGORY_CALL:
        transfer.is_call = true;
        break;
      case ZYDIS_CATEGORY_COND_BR:
      case ZYDIS_CATEGORY_UNCOND_BR:
        transfer.is_indirect = !instruction.raw.imm[0].is_relative;
        break;
      default:
        continue;
    }
    if (!visit(transfer)) return true;
  }
  return true;
}

// A part of a function's table of exceptions: the calls of its code that
// exceptions may leave (Itanium C++ ABI, "Exception Handling Tables").
class CallSites {
 public:
  // `bytes`: the table. Nothing if it is of a form that GCC does not write.
  static std::optional<CallSites> Read(absl::string_view bytes) {
    Reader reader = {bytes};
    constexpr std::uint8_t kOmitted = 0xff;
    constexpr std::uint8_t kUleb128 = 0x01;
    if (reader.Byte() != kOmitted) return std::nullopt;
    if (reader.Byte() != kOmitted) reader.Number();  // where types are
    if (reader.Byte() != kUleb128) return std::nullopt;
    const std::uint64_t size = reader.Number();
    if (reader.is_over || size > reader.bytes.size()) return std::nullopt;
    reader.bytes = reader.bytes.substr(0, size);
    CallSites sites;
    while (!reader.bytes.empty()) {
      const std::uint64_t begin = reader.Number();
      const std::uint64_t length = reader.Number();
      reader.Number();  // the landing pad
      reader.Number();  // what it does
      if (reader.is_over) return std::nullopt;
      sites.ranges_.push_back({begin, begin + length});
    }
    return sites;
  }

  bool Has(std::uint64_t offset) const {
    return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
      return range.begin <= offset && offset < range.end;
    });
  }

 private:
  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
  };
  struct Reader {
    absl::string_view bytes;
    bool is_over = false;

    std::uint8_t Byte() {
      is_over = is_over || bytes.empty();
      if (is_over) return 0;
      const auto byte = static_cast<std::uint8_t>(bytes.front());
      bytes.remove_prefix(1);
      return byte;
    }
    std::uint64_t Number() {
      std::uint64_t number = 0;
      for (unsigned int shift = 0;; shift += 7) {
        const std::uint8_t byte = Byte();
        if (shift < 64) number |= (byte & std::uint64_t{0x7f}) << shift;
        if ((byte & 0x80) == 0) return number;
      }
    }
  };

  std::vector<Range> ranges_;
};

// Who is called, by whether exceptions may come out of the call.
struct Callees {
  std::set<std::string> may_throw;
  std::set<std::string> may_not;
};

// Of the parts that have a table: without one, exceptions go through.
Callees CalleesOf(const Unit& function) {
  Callees callees;
  const Object& object = *function.object;
  for (const Frame& frame : function.frames) {
    if (frame.relocations.size() < 2) continue;
    const std::uint32_t code =
        object.SymbolOf(frame.relocations.front()).section;
    const Relocation& to_table = frame.relocations.back();
    const Unit* const table = object.TargetOf(to_table);
    const auto part = std::find_if(
        function.parts.begin(), function.parts.end(),
        [code](const Section* section) { return section->index == code; });
    if (table == nullptr || part == function.parts.end()) continue;
    const std::uint64_t offset = object.SymbolOf(to_table).value +
                                 static_cast<std::uint64_t>(to_table.addend);
    const std::optional<CallSites> sites =
        CallSites::Read(absl::ClippedSubstr(table->main().bytes, offset));
    ForEachTransfer(**part, [&](const Transfer& transfer) {
      if (!transfer.is_call || transfer.leads_to == nullptr) return true;
      const Unit* const target = object.TargetOf(*transfer.leads_to);
      const std::string name(target != nullptr
                                 ? absl::string_view(target->name)
                                 : object.SymbolOf(*transfer.leads_to).name);
      // What cannot be read counts for both.
      const bool is_site = sites.has_value() && sites->Has(transfer.end - 1);
      if (!sites.has_value() || is_site) callees.may_throw.insert(name);
      if (!sites.has_value() || !is_site) callees.may_not.insert(name);
      return true;
    });
  }
  return callees;
}

}  // namespace

bool IsNeverLeft(const Unit& function) {
  if (function.name == "main") return true;
  for (const Section* part : function.parts) {
    bool is_left = false;
    const bool is_read = ForEachTransfer(*part, [&](const Transfer& transfer) {
      is_left =
          transfer.is_return ||
          (!transfer.is_call &&
           (transfer.is_indirect ||
            (transfer.leads_to != nullptr &&
             function.object->TargetOf(*transfer.leads_to) != &function)));
      return !is_left;
    });
    if (is_left || !is_read) return false;
  }
  return true;
}

std::set<std::string> CaughtBy(const Unit& function) {
  std::set<std::string> caught;
  const Object& object = *function.object;
  for (const Frame& frame : function.frames) {
    for (const Relocation& relocation : frame.relocations) {
      const Unit* const table = object.TargetOf(relocation);
      if (table == nullptr || !table->is_anonymous()) continue;
      for (const Relocation& type : table->main().relocations) {
        absl::string_view name = object.SymbolOf(type).name;
        absl::ConsumePrefix(&name, "DW.ref.");
        if (absl::ConsumePrefix(&name, "_ZTI")) {
          caught.insert(Demangle(absl::StrCat("_Z", name)));
        }
      }
    }
  }
  return caught;
}

std::set<std::string> MayThrowOnlyNow(const Unit& old_function,
                                      const Unit& new_function) {
  const Callees before = CalleesOf(old_function);
  const Callees now = CalleesOf(new_function);
  std::set<std::string> names;
  for (const std::string& name : before.may_not) {
    if (now.may_throw.count(name) != 0 && before.may_throw.count(name) == 0) {
      names.insert(Demangle(name));
    }
  }
  return names;
}

}  // namespace differ
}  // namespace instar
