// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_check/folded_functions_for_test.h"

namespace instar {
namespace code_test {

int Price(int a) { return 3 * a + 7; }
int Weight(int a) { return 3 * a + 7; }

extern "C" {
int instar_test_declared(int a) { return 5 * a + 11; }
__attribute__((alias("instar_test_declared"))) int instar_test_alias(int a);
}

Counter::Counter(int start) : count_(start + 17) {}
Counter::~Counter() = default;
int Counter::count() const { return count_; }

int Other(int a) { return a - 1000; }

}  // namespace code_test
}  // namespace instar
