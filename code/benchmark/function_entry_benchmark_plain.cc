// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/benchmark/function_entry_benchmark_functions.h"

namespace instar {
namespace entry_benchmark {

__attribute__((noinline, aligned(64))) int Plain(int a) { return a + 1; }

}  // namespace entry_benchmark
}  // namespace instar
