// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/object_debug_info.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace instar {
namespace differ {
namespace {

// Whether GCC was told to describe lines and functions alone, or some types.
bool IsWithoutTypes(absl::string_view producer) {
  bool without = false;
  for (absl::string_view word : absl::StrSplit(producer, ' ')) {
    if (absl::StartsWith(word, "-femit-struct-debug-")) return true;
    if (word == "-g1" || word == "-gline-tables-only") without = true;
    if (word == "-g" || word == "-g2" || word == "-g3") without = false;
  }
  return without;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectDebugInfo>> ObjectDebugInfo::Read(
    const ElfFile& object) {
  std::unique_ptr<ObjectDebugInfo> result(new ObjectDebugInfo(object));
  const absl::Status status = result->Load();
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat(object.path(), " ", status.message()));
  }
  return result;
}

ObjectDebugInfo::~ObjectDebugInfo() { dwarf_end(dwarf_); }

absl::Status ObjectDebugInfo::Load() {
  if (!file_.is_object()) {
    return absl::InvalidArgumentError(
        "is no relocatable object (ET_REL); name the object that the compiler "
        "writes");
  }
  INSTAR_ASSIGN_OR_RETURN(sections_, RelocatedSections::Of(file_));
  dwarf_ = dwarf_begin_elf(sections_->elf(), DWARF_C_READ, nullptr);
  if (dwarf_ == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("has damaged debug information: ", dwarf_errmsg(-1)));
  }
  INSTAR_ASSIGN_OR_RETURN(dies_, DieTree::Read(dwarf_));
  for (const DieIndex unit : dies_->units()) {
    const DieAttribute* const producer = dies_->Find(unit, DW_AT_producer);
    if (producer != nullptr && IsWithoutTypes(producer->block())) {
      describes_types_ = false;
    }
  }
  CollectFunctions();
  return absl::OkStatus();
}

void ObjectDebugInfo::CollectFunctions() {
  for (const Symbol& symbol : file_.symbols()) {
    if (symbol.type != STT_FUNC && symbol.type != STT_GNU_IFUNC) continue;
    if (symbol.section == kUndefined) continue;
    functions_.push_back(
        {{symbol.section, symbol.value}, symbol.is_local(), symbol.name});
  }
  std::sort(functions_.begin(), functions_.end(),
            [](const FunctionSymbol& a, const FunctionSymbol& b) {
              return std::tie(a.place, a.is_local, a.name) <
                     std::tie(b.place, b.is_local, b.name);
            });
}

std::vector<absl::string_view> ObjectDebugInfo::FunctionsAt(
    const ObjectPlace& place) const {
  std::vector<absl::string_view> names;
  auto at = std::lower_bound(functions_.begin(), functions_.end(), place,
                             [](const FunctionSymbol& f, const ObjectPlace& p) {
                               return f.place < p;
                             });
  for (; at != functions_.end() && at->place == place; ++at) {
    names.push_back(at->name);
  }
  return names;
}

std::vector<ObjectDebugInfo::Stretch> ObjectDebugInfo::CodeOf(
    DieIndex function) const {
  std::vector<Stretch> code;
  const auto low = dies_->Constant(function, DW_AT_low_pc);
  const auto high = dies_->Constant(function, DW_AT_high_pc);
  if (low.has_value() && high.has_value()) {
    // An offset, or, in DWARF 3, an address; those are larger.
    const std::uint64_t size =
        *high >= *low && *low != 0 ? *high - *low : *high;
    code.push_back({PlaceOf(*low), size});
    return code;
  }
  if (dies_->Find(function, DW_AT_ranges) == nullptr) return code;
  Dwarf_Die die;
  if (dwarf_offdie(dwarf_, (*dies_)[function].offset, &die) == nullptr) {
    return code;
  }
  Dwarf_Addr base = 0;
  Dwarf_Addr begin = 0;
  Dwarf_Addr end = 0;
  for (std::ptrdiff_t offset = 0;
       (offset = dwarf_ranges(&die, offset, &base, &begin, &end)) > 0;) {
    code.push_back({PlaceOf(begin), end - begin});
  }
  return code;
}

std::string ObjectDebugInfo::DeclaredIn(DieIndex die) const {
  // It is a number among the files of the unit that has it.
  std::optional<std::uint64_t> number;
  for (; die != kNoDie; die = (*dies_)[die].origin) {
    number = dies_->Constant(die, DW_AT_decl_file);
    if (number.has_value()) break;
  }
  if (!number.has_value()) return "";
  Dwarf_Die unit;
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (dwarf_offdie(dwarf_, (*dies_)[dies_->UnitOf(die)].offset, &unit) ==
          nullptr ||
      dwarf_getsrcfiles(&unit, &files, &count) != 0 || *number >= count) {
    return "";
  }
  const char* const file = dwarf_filesrc(files, *number, nullptr, nullptr);
  return file == nullptr ? "" : file;
}

}  // namespace differ
}  // namespace instar
