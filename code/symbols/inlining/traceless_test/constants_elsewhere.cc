// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/traceless_test/constants.h"

namespace constants {

int TotalElsewhere(int amount) { return amount * Weak(); }

}  // namespace constants
