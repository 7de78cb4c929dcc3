// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_CODE_PROGRAM_CHECK_BUILD_CHECK_FOR_TEST_H_
#define INSTAR_CODE_PROGRAM_CHECK_BUILD_CHECK_FOR_TEST_H_

namespace instar {
namespace code_test {

int BuildCheckForTest();

}  // namespace code_test
}  // namespace instar

#endif  // INSTAR_CODE_PROGRAM_CHECK_BUILD_CHECK_FOR_TEST_H_
