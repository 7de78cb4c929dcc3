// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that have been inlined, for the tests of Function::InlinedCopies().

#ifndef INSTAR_CODE_INLINED_FUNCTIONS_FOR_TEST_H_
#define INSTAR_CODE_INLINED_FUNCTIONS_FOR_TEST_H_

#include <cstdint>

namespace inlined {

extern volatile int sink;

// Inlined into CallsShared() in one file and ElsewhereCallsShared() in another.
[[gnu::always_inline]] inline int Shared(int x) {
  sink = x;
  sink = x + 1;
  return x * 3;
}

// Has no code but its copy in CallsOnlyInlined().
[[gnu::always_inline]] inline int OnlyInlined(int x) {
  sink = x;
  return x * 5;
}

// The same, and loaded_for_test.cc has one of its name with code of its own.
[[gnu::always_inline]] inline int WithCodeElsewhere(int x) {
  sink = x;
  return x * 7;
}

int CallsShared(int x);
int CallsOnlyInlined(int x);
int CallsWithCodeElsewhere(int x);
int ElsewhereCallsShared(int x);
[[gnu::noinline]] int CallsFileLocal(int x);
int CallsThroughAnother(int x);  // Shared() in a function inlined here
int CallsConstructor(int x);     // that of inlined::Built
int NeverInlined(int x);

uintptr_t SharedEntry();
uintptr_t FileLocalEntry();

// A program counter inside the copy of FileLocal() in CallsFileLocal().
uintptr_t InCopyOfFileLocal();

}  // namespace inlined

#endif  // INSTAR_CODE_INLINED_FUNCTIONS_FOR_TEST_H_
