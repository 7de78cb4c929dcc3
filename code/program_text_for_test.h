// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The code of the running program, for tests of what leaves no trace in it.

#ifndef INSTAR_CODE_PROGRAM_TEXT_FOR_TEST_H_
#define INSTAR_CODE_PROGRAM_TEXT_FOR_TEST_H_

#include <string>

namespace instar {
namespace code_test {

// The bytes of all its segments that can be executed. Without shared objects.
std::string ProgramText();

}  // namespace code_test
}  // namespace instar

#endif  // INSTAR_CODE_PROGRAM_TEXT_FOR_TEST_H_
