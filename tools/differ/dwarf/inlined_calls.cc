// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/inlined_calls.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstddef>

#include "tools/differ/dwarf/type_names.h"

namespace instar {
namespace differ {
namespace {

bool Holds(const ObjectDebugInfo& object, DieIndex die,
           const ObjectPlace& place) {
  const auto code = object.CodeOf(die);
  return std::any_of(
      code.begin(), code.end(), [&](const ObjectDebugInfo::Stretch& stretch) {
        return place.section == stretch.begin.section &&
               place.offset >= stretch.begin.offset &&
               place.offset - stretch.begin.offset < stretch.size;
      });
}

bool ReadNumber(Dwarf_Die* die, unsigned int code, Dwarf_Word* number) {
  Dwarf_Attribute attribute;
  return dwarf_formudata(dwarf_attr(die, code, &attribute), number) == 0;
}

}  // namespace

std::vector<std::string> InlinedAt(const ObjectDebugInfo& object,
                                   const ObjectPlace& place) {
  const DieTree& dies = object.dies();
  std::vector<std::string> names;
  TypeNames spelled(dies);
  for (DieIndex function = 0; function < dies.size(); ++function) {
    if (dies[function].tag != DW_TAG_subprogram ||
        !Holds(object, function, place)) {
      continue;
    }
    // Callers stand before what is inlined into them.
    for (DieIndex die = function + 1; die < dies.EndOf(function); ++die) {
      if (dies[die].tag == DW_TAG_inlined_subroutine &&
          Holds(object, die, place)) {
        names.push_back(spelled.FunctionName(die));
      }
    }
    break;
  }
  std::reverse(names.begin(), names.end());
  return names;
}

std::vector<Inliner> InlinersOf(const ObjectDebugInfo& object) {
  const DieTree& dies = object.dies();
  TypeNames spelled(dies);
  std::vector<Inliner> result;
  for (DieIndex function = 0; function < dies.size(); ++function) {
    if (dies[function].tag != DW_TAG_subprogram) continue;
    const auto code = object.CodeOf(function);
    if (code.empty()) continue;
    for (DieIndex die = function + 1; die < dies.EndOf(function); ++die) {
      if (dies[die].tag != DW_TAG_inlined_subroutine) continue;
      result.push_back({spelled.FunctionName(die), code.front().begin});
    }
  }
  return result;
}

InlinedCalls InlinedCalls::Of(const ObjectDebugInfo& object) {
  const DieTree& dies = object.dies();
  InlinedCalls result;
  DieIndex unit = kNoDie;
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  const char* folder = nullptr;
  for (DieIndex die = 0; die < dies.size(); ++die) {
    if (dies[die].tag != DW_TAG_inlined_subroutine) continue;
    Dwarf_Die called;
    Dwarf_Word file = 0;
    Dwarf_Word line = 0;
    if (dwarf_offdie(object.dwarf(), dies[die].offset, &called) == nullptr ||
        !ReadNumber(&called, DW_AT_call_file, &file) ||
        !ReadNumber(&called, DW_AT_call_line, &line)) {
      continue;
    }
    if (dies.UnitOf(die) != unit) {
      unit = dies.UnitOf(die);
      folder = nullptr;
      Dwarf_Die entry;
      Dwarf_Attribute attribute;
      if (dwarf_offdie(object.dwarf(), dies[unit].offset, &entry) == nullptr ||
          dwarf_getsrcfiles(&entry, &files, &count) != 0) {
        count = 0;
      } else {
        folder =
            dwarf_formstring(dwarf_attr(&entry, DW_AT_comp_dir, &attribute));
      }
    }
    const char* const name =
        file < count ? dwarf_filesrc(files, file, nullptr, nullptr) : nullptr;
    if (name == nullptr) continue;
    const SourceLine source = {name, static_cast<int>(line),
                               folder == nullptr ? "" : folder};
    for (const ObjectDebugInfo::Stretch& stretch : object.CodeOf(die)) {
      result.calls_[stretch.begin.section].push_back(
          {stretch.begin.offset, stretch.size, source});
    }
  }
  return result;
}

std::vector<SourceLine> InlinedCalls::FindAll(const ObjectPlace& begin,
                                              std::uint64_t size) const {
  std::vector<SourceLine> lines;
  const auto of_section = calls_.find(begin.section);
  if (of_section == calls_.end()) return lines;
  for (const Call& call : of_section->second) {
    if (call.begin < begin.offset + size &&
        begin.offset < call.begin + call.size) {
      lines.push_back(call.line);
    }
  }
  return lines;
}

}  // namespace differ
}  // namespace instar
