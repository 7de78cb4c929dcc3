// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/function_test_functions.h"

namespace found {

[[gnu::noinline]] static int FileLocal(int x) {
  asm volatile("");
  return x + 20;
}

uintptr_t OtherFileLocalEntry() {
  return reinterpret_cast<uintptr_t>(&FileLocal);
}

}  // namespace found
