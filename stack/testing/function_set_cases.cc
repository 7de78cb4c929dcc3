// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/testing/function_set_cases.h"

namespace instar {
namespace stack_test {
namespace {

// Called back before it returns, so that no tail call takes its frame away.
volatile int called = 0;

struct Cleanup {
  ~Cleanup() { called = called + 1; }
};

// What runs when the callback throws is split off into a .cold part: here, and
// where this is inlined.
[[gnu::always_inline]] inline int Inlined(const Callback& callback) {
  const Cleanup cleanup;
  callback();
  called = called + 1;
  return 7;
}

// Taking the address makes the compiler emit the function as well.
int (*volatile inlined)(const Callback&) = &Inlined;

}  // namespace

int Version1(const Callback& callback) {
  callback();
  called = called + 1;
  return 1;
}
int Version2(const Callback& callback) {
  callback();
  called = called + 1;
  return 2;
}
int Version3(const Callback& callback) {
  callback();
  called = called + 1;
  return 3;
}

int CallsVersion1(const Callback& callback) {
  const int result = Version1(callback);
  called = called + 1;
  return result;
}

int HoldsCopy(const Callback& callback) {
  const int result = Inlined(callback);
  called = called + 1;
  return result;
}

uintptr_t InlinedEntry() { return reinterpret_cast<uintptr_t>(inlined); }

}  // namespace stack_test
}  // namespace instar
