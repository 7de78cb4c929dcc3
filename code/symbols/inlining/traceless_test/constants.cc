// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/traceless_test/constants.h"

namespace constants {
namespace {

int Rate() { return 100; }
int Other() { return 5; }

}  // namespace

Constant Static() { return &Rate; }
Constant WeakItself() { return &Weak; }
Constant Uninlined() { return &Other; }

int Total(int amount) { return amount * Rate(); }
int New() { return 90; }

}  // namespace constants
