// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The functions of function_entry_benchmark.

#ifndef INSTAR_CODE_BENCHMARK_FUNCTION_ENTRY_BENCHMARK_FUNCTIONS_H_
#define INSTAR_CODE_BENCHMARK_FUNCTION_ENTRY_BENCHMARK_FUNCTIONS_H_

namespace instar {
namespace entry_benchmark {

int Plain(int a);  // compiled without the treatment
int Updatable(int a);
int UpdatableNext(int a);

// Different ones, of external linkage. From a generated file.
using ManyFunction = int (*)(int);
constexpr int kManyCount = 10000;
extern const ManyFunction kManyFunctions[kManyCount];

}  // namespace entry_benchmark
}  // namespace instar

#endif  // INSTAR_CODE_BENCHMARK_FUNCTION_ENTRY_BENCHMARK_FUNCTIONS_H_
