// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/inlined_calls.h"

#include <dwarf.h>

#include <algorithm>

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

}  // namespace differ
}  // namespace instar
