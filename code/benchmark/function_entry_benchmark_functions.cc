// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/benchmark/function_entry_benchmark_functions.h"

namespace instar {
namespace entry_benchmark {

// Each in a cache line of its own, as a function and its next version are: in
// one line, the predictor of branches may or may not find room for the jump
// from one to the other beside their returns, and a redirected call takes one
// cycle more or not, as the linker happens to place them.
__attribute__((noinline, aligned(64))) int Updatable(int a) { return a + 1; }
__attribute__((noinline, aligned(64))) int UpdatableNext(int a) {
  return a + 1;
}

}  // namespace entry_benchmark
}  // namespace instar
