// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The functions of function_entry_benchmark.

#ifndef INSTAR_CODE_FUNCTION_ENTRY_BENCHMARK_FUNCTIONS_H_
#define INSTAR_CODE_FUNCTION_ENTRY_BENCHMARK_FUNCTIONS_H_

#include <vector>

namespace instar {
namespace entry_benchmark {

int Plain(int a);  // compiled without the treatment
int Updatable(int a);
int UpdatableNext(int a);

using ManyFunction = int (*)(int);
std::vector<ManyFunction> ManyFunctions();  // 10,000 different ones

}  // namespace entry_benchmark
}  // namespace instar

#endif  // INSTAR_CODE_FUNCTION_ENTRY_BENCHMARK_FUNCTIONS_H_
