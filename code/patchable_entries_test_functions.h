// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions compiled as updatable code is, for patchable_entries_test.

#ifndef INSTAR_CODE_PATCHABLE_ENTRIES_TEST_FUNCTIONS_H_
#define INSTAR_CODE_PATCHABLE_ENTRIES_TEST_FUNCTIONS_H_

#include <string>

namespace instar {
namespace entries_test {

int Plain(int a);
int NotPatchable(int a);
std::string UsesTemplates(int count);

}  // namespace entries_test
}  // namespace instar

extern "C" int instar_test_loaded_function(int a);

#endif  // INSTAR_CODE_PATCHABLE_ENTRIES_TEST_FUNCTIONS_H_
