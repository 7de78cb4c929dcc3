// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/function_entry_benchmark_functions.h"

namespace instar {
namespace entry_benchmark {

__attribute__((noinline)) int Updatable(int a) { return a + 1; }
__attribute__((noinline)) int UpdatableNext(int a) { return a + 1; }

}  // namespace entry_benchmark
}  // namespace instar
