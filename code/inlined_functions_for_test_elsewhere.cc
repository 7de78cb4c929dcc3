// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/inlined_functions_for_test.h"

namespace inlined {

int ElsewhereCallsShared(int x) { return Shared(x) + 2; }

struct Built {
  [[gnu::always_inline, gnu::used]] inline explicit Built(int x) : value(x) {
    sink = x;
  }
  int value;
};

int CallsConstructor(int x) {
  const Built built(x);
  return built.value;
}

}  // namespace inlined
