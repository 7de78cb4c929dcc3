// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/patchable_entries_test_functions.h"

#include <string>
#include <vector>

namespace instar {
namespace entries_test {

int Plain(int a) { return a + 1; }

__attribute__((patchable_function_entry(0))) int NotPatchable(int a) {
  return a + 2;
}

std::string UsesTemplates(int count) {
  std::vector<std::string> parts(static_cast<size_t>(count), "x");
  std::string all;
  for (const std::string& part : parts) all += part;
  return all;
}

}  // namespace entries_test
}  // namespace instar

extern "C" int instar_test_loaded_function(int a) { return a + 3; }
