// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Types of two builds, compiled and compared by tests.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_TYPE_CHANGES_FOR_TEST_H_
#define INSTAR_TOOLS_DIFFER_DWARF_TYPE_CHANGES_FOR_TEST_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"
#include "tools/differ/dwarf/type_changes.h"

namespace instar {
namespace differ {

// One object in both builds.
inline std::vector<TypeChange> Changes(const std::string& was,
                                       const std::string& is,
                                       const char* suffix, const char* flags) {
  TypeSet sets[2];
  for (int i = 0; i < 2; ++i) {
    const CompiledObject object(i == 0 ? was : is, suffix, flags);
    EXPECT_TRUE(object.status().ok()) << object.status();
    if (!object.status().ok()) return {};
    sets[i].Add(*object, "shop.o");
  }
  return CompareTypes(sets[0], sets[1]);
}

// "name: verdict" of each.
inline std::vector<std::string> Told(const std::vector<TypeChange>& changes) {
  std::vector<std::string> told;
  for (const TypeChange& change : changes) {
    told.push_back(absl::StrCat(change.name, ": ", ToString(change.verdict)));
  }
  return told;
}

// How it is compiled.
struct Compiled {
  const char* suffix;
  const char* flags;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_TYPE_CHANGES_FOR_TEST_H_
