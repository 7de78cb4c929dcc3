// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_check/build_check_for_test.h"

namespace instar {
namespace code_test {

int BuildCheckForTest() { return 1; }

}  // namespace code_test
}  // namespace instar
