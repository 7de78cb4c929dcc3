// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What tools/static_initializers_test.py must find.

namespace instar {

int* MakeInt() { return new int(7); }
int* const made = MakeInt();

}  // namespace instar
