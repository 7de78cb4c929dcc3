// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the whole treatment of updatable code costs over plain -O2 code, for
// each kernel and as a geometric mean.
//
//   bazelw run -c opt //code/benchmark:updatable_code_benchmark
//
// kernel_<name>/limit is the plain build: -O2, position independent, without
// frame pointers. "geometric_mean" counts the mean of instar / limit, measured
// alternately, fastest of 101 runs each. docs/function_entries.md has each
// kernel's causes.

#include <cmath>
#include <iterator>
#include <string>

#include "benchmark/benchmark.h"
#include "code/benchmark/kernel_time.h"
#include "code/benchmark/kernels_for_benchmark.h"

namespace instar {
namespace {

struct Pair {
  const char* name;
  Kernel plain;
  Kernel updatable;
};

constexpr Pair kPairs[] = {
    {"json", &plain_kernels::ParseJson, &updatable_kernels::ParseJson},
    {"hash_map", &plain_kernels::FillHashMap, &updatable_kernels::FillHashMap},
    {"sort", &plain_kernels::Sort, &updatable_kernels::Sort},
    {"matrix", &plain_kernels::MultiplyMatrices,
     &updatable_kernels::MultiplyMatrices},
    {"recursion", &plain_kernels::Recurse, &updatable_kernels::Recurse},
};

void GeometricMean(benchmark::State& state) {
  constexpr int kRuns = 101;
  double logarithms = 0;
  for (auto _ : state) {
    logarithms = 0;
    for (const Pair& pair : kPairs) {
      const double ratio = RatioOfFastest(
          kRuns, [&] { return SecondsOnce(pair.updatable); },
          [&] { return SecondsOnce(pair.plain); });
      state.counters[pair.name] = ratio;
      logarithms += std::log(ratio);
    }
  }
  state.counters["geometric_mean"] = std::exp(logarithms / std::size(kPairs));
}

int RegisterAll() {
  for (const Pair& pair : kPairs) {
    const std::string name = std::string("kernel_") + pair.name;
    benchmark::RegisterBenchmark((name + "/limit").c_str(), &RunKernel,
                                 pair.plain);
    benchmark::RegisterBenchmark((name + "/instar").c_str(), &RunKernel,
                                 pair.updatable);
  }
  benchmark::RegisterBenchmark("kernels_geometric_mean/instar", &GeometricMean)
      ->Iterations(1);
  return 0;
}

const int g_registered = RegisterAll();

}  // namespace
}  // namespace instar
