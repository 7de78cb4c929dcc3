// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How long the kernels (code/benchmark/kernels_for_benchmark.h) take, in
// benchmarks that compare two builds of each.

#ifndef INSTAR_CODE_BENCHMARK_KERNEL_TIME_H_
#define INSTAR_CODE_BENCHMARK_KERNEL_TIME_H_

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "benchmark/benchmark.h"

namespace instar {

using Kernel = uint64_t (*)();

inline void RunKernel(benchmark::State& state, Kernel kernel) {
  for (auto _ : state) benchmark::DoNotOptimize(kernel());
}

// Of this thread's processor time: others may use the machine.
inline double SecondsOnce(Kernel kernel) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * time.tv_nsec;
  };
  const double start = now();
  benchmark::DoNotOptimize(kernel());
  return now() - start;
}

// The fastest of so many calls of `with` over the fastest of `without`, which
// answer what they took.
template <typename With, typename Without>
double RatioOfFastest(int runs, With with, Without without) {
  double fastest_with = 1e9, fastest_without = 1e9;
  for (int i = 0; i < runs; ++i) {
    // In either order, for each finds the heap as the other leaves it.
    if (i % 2 == 0) fastest_without = std::min(fastest_without, without());
    fastest_with = std::min(fastest_with, with());
    if (i % 2 != 0) fastest_without = std::min(fastest_without, without());
  }
  return fastest_with / fastest_without;
}

}  // namespace instar

#endif  // INSTAR_CODE_BENCHMARK_KERNEL_TIME_H_
