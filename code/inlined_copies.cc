// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/inlined_copies.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace instar {
namespace code_internal {
namespace {

// Follows a chain of references to its end: a copy or an out-of-line instance
// leads to the abstract instance that they share.
Dwarf_Die AbstractOrigin(Dwarf_Die die) {
  Dwarf_Attribute attribute;
  Dwarf_Die origin;
  while (dwarf_attr(&die, DW_AT_abstract_origin, &attribute) != nullptr &&
         dwarf_formref_die(&attribute, &origin) != nullptr) {
    die = origin;
  }
  return die;
}

// The linkage name, also from the declaration that a definition refers to; a
// C function has only its plain name. Null for what no other file can see.
const char* LinkageName(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (unsigned int kind : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(die, kind, &attribute) != nullptr) {
      return dwarf_formstring(&attribute);
    }
  }
  bool external = false;
  if (dwarf_attr_integrate(die, DW_AT_external, &attribute) == nullptr ||
      dwarf_formflag(&attribute, &external) != 0 || !external) {
    return nullptr;
  }
  return dwarf_diename(die);
}

std::vector<CodeRange> RangesOf(Dwarf_Die* die) {
  std::vector<CodeRange> ranges;
  Dwarf_Addr base = 0;
  Dwarf_Addr begin = 0;
  Dwarf_Addr end = 0;
  for (ptrdiff_t offset = 0;
       (offset = dwarf_ranges(die, offset, &base, &begin, &end)) > 0;) {
    ranges.push_back({begin, end});
  }
  return ranges;
}

}  // namespace

// Walks the debug information of a file.
class InlinedCopyTable::Reader {
 public:
  Reader(InlinedCopyTable* result, const SymbolTable& symbols)
      : result_(*result), symbols_(symbols) {}

  void Read(Dwarf* dwarf) {
    Dwarf_CU* unit = nullptr;
    Dwarf_Die die;
    while (dwarf_get_units(dwarf, unit, &unit, nullptr, nullptr, &die,
                           nullptr) == 0) {
      Visit(&die, nullptr);
    }
    // What is file-local has no linkage name in debug information; it is
    // recognised by the abstract instance that it shares with its copies. The
    // same goes for constructors, whose abstract instance is called C4.
    for (auto& [origin, copies] : by_origin_) {
      const auto entry = entry_of_origin_.find(origin);
      if (entry == entry_of_origin_.end()) continue;
      std::vector<Copy>& all = result_.by_entry_[entry->second];
      all.insert(all.end(), copies.begin(), copies.end());
    }
  }

 private:
  // Visits what is nested in `parent`, inside the function `into` if not null.
  void Visit(Dwarf_Die* parent, const FunctionRecord* into) {
    Dwarf_Die die;
    if (dwarf_child(parent, &die) != 0) return;
    do {
      switch (dwarf_tag(&die)) {
        case DW_TAG_subprogram:
          VisitFunction(&die);
          break;
        case DW_TAG_inlined_subroutine:
          if (into != nullptr) AddCopy(&die, into);
          Visit(&die, into);
          break;
        default:
          Visit(&die, into);
          break;
      }
    } while (dwarf_siblingof(&die, &die) == 0);
  }

  void VisitFunction(Dwarf_Die* die) {
    Dwarf_Addr entry = 0;
    const FunctionRecord* function = nullptr;
    // The linker leaves address 0 in descriptions of what it discarded.
    if (dwarf_entrypc(die, &entry) == 0 && entry != 0) {
      function = symbols_.FindFunction(entry);
    } else {
      // A function that was split, `f.cold`, has only ranges.
      for (const CodeRange& range : RangesOf(die)) {
        if (range.begin == 0) continue;
        function = symbols_.FindFunction(range.begin);
        if (function != nullptr) break;
      }
    }
    if (function != nullptr) {
      result_.described_.insert(function->entry);
      Dwarf_Die origin = AbstractOrigin(*die);
      entry_of_origin_.emplace(dwarf_dieoffset(&origin), function->entry);
    }
    Visit(die, function);
  }

  void AddCopy(Dwarf_Die* die, const FunctionRecord* into) {
    std::vector<CodeRange> ranges = RangesOf(die);
    // Empty ranges stand for statements that left no code. A copy that has no
    // other is still a copy.
    const CodeRange empty =
        ranges.empty() ? CodeRange{into->entry, into->entry} : ranges.front();
    ranges.erase(std::remove_if(ranges.begin(), ranges.end(),
                                [](const CodeRange& range) {
                                  return range.begin == range.end;
                                }),
                 ranges.end());
    if (ranges.empty()) ranges.push_back(empty);
    Dwarf_Die origin = AbstractOrigin(*die);
    const char* name = LinkageName(&origin);
    for (const CodeRange& range : ranges) {
      by_origin_[dwarf_dieoffset(&origin)].push_back({into, range});
      if (name != nullptr) result_.by_name_[name].push_back({into, range});
    }
  }

  InlinedCopyTable& result_;
  const SymbolTable& symbols_;
  absl::flat_hash_map<Dwarf_Off, std::vector<Copy>> by_origin_;
  absl::flat_hash_map<Dwarf_Off, uintptr_t> entry_of_origin_;
};

InlinedCopyTable::InlinedCopyTable(const SymbolTable& table) {
  const absl::StatusOr<int> file = table.OpenDebugInformation();
  if (!file.ok()) {
    missing_because_ = std::string(file.status().message());
    return;
  }
  const absl::Cleanup close_file = [&file] { close(*file); };
  Dwarf* dwarf = dwarf_begin(*file, DWARF_C_READ);
  if (dwarf == nullptr) {
    missing_because_ = absl::StrCat(table.name(), " has no debug information");
    return;
  }
  const absl::Cleanup end = [dwarf] { dwarf_end(dwarf); };
  Reader(this, table).Read(dwarf);
}

struct InlinedCopyTable::All {
  std::mutex mutex;
  absl::flat_hash_map<const SymbolTable*,
                      std::unique_ptr<const InlinedCopyTable>>
      tables;

  static All& Get() {
    static All& all = *new All;
    return all;
  }
};

const InlinedCopyTable& InlinedCopyTable::Of(const SymbolTable& table) {
  All& all = All::Get();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::unique_ptr<const InlinedCopyTable>& copies = all.tables[&table];
  if (copies == nullptr) copies.reset(new InlinedCopyTable(table));
  return *copies;
}

bool InlinedCopyTable::IsRead(const SymbolTable& table) {
  All& all = All::Get();
  std::lock_guard<std::mutex> lock(all.mutex);
  return all.tables.contains(&table);
}

absl::Span<const InlinedCopyTable::Copy> InlinedCopyTable::OfEntry(
    uintptr_t entry) const {
  const auto copies = by_entry_.find(entry);
  if (copies == by_entry_.end()) return {};
  return copies->second;
}

absl::Span<const InlinedCopyTable::Copy> InlinedCopyTable::OfName(
    absl::string_view linkage_name) const {
  const auto copies = by_name_.find(linkage_name);
  if (copies == by_name_.end()) return {};
  return copies->second;
}

}  // namespace code_internal
}  // namespace instar
