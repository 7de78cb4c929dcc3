// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that are constants.

#ifndef INSTAR_CODE_SYMBOLS_INLINING_TRACELESS_TEST_CONSTANTS_H_
#define INSTAR_CODE_SYMBOLS_INLINING_TRACELESS_TEST_CONSTANTS_H_

namespace constants {

using Constant = int (*)();

// Inlined in constants_elsewhere.cc alone, where it has no code.
inline int Weak() { return 20; }

// The code of a static function, which is inlined in Total(); of Weak(); and of
// one that is inlined nowhere.
Constant Static();
Constant WeakItself();
Constant Uninlined();

int Total(int amount);
int TotalElsewhere(int amount);
int New();

}  // namespace constants

#endif  // INSTAR_CODE_SYMBOLS_INLINING_TRACELESS_TEST_CONSTANTS_H_
