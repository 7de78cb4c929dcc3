// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Tells apart what has one name. Internal to this package.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_NUMBER_EACH_H_
#define INSTAR_TOOLS_DIFFER_DWARF_NUMBER_EACH_H_

#include <algorithm>

namespace instar {
namespace differ {

// `groups` maps a name to pointers to those that have it: sets their `order`,
// from 0, as `less` compares the pointers, and `of`, how many they are.
template <typename Groups, typename Less>
void NumberEach(Groups* groups, Less less) {
  for (auto& group : *groups) {
    auto& all = group.second;
    std::stable_sort(all.begin(), all.end(), less);
    int order = 0;
    for (auto* one : all) {
      one->order = order++;
      one->of = static_cast<int>(all.size());
    }
  }
}

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_NUMBER_EACH_H_
