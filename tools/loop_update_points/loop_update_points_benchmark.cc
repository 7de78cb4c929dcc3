// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What update points in loops cost over updatable code without, for each kernel
// and as a geometric mean, with nothing pending.
//
//   bazelw run -c opt //tools/loop_update_points:loop_update_points_benchmark
//
// late_<kernel>/limit is the updatable build without them. "geometric_mean"
// counts the mean of instar / limit, measured alternately, fastest of 101 runs
// each.

#include <cmath>
#include <iterator>
#include <string>

#include "benchmark/benchmark.h"
#include "code/benchmark/kernel_time.h"
#include "code/benchmark/kernels_for_benchmark.h"

namespace instar {
namespace {

struct Kernels {
  const char* name;
  Kernel without;
  Kernel late;
  Kernel early;
};

#define INSTAR_KERNELS_OF(name, function)                        \
  {                                                              \
    name, &updatable_kernels::function, &late_kernels::function, \
        &early_kernels::function                                 \
  }
constexpr Kernels kKernels[] = {
    INSTAR_KERNELS_OF("json", ParseJson),
    INSTAR_KERNELS_OF("hash_map", FillHashMap),
    INSTAR_KERNELS_OF("sort", Sort),
    INSTAR_KERNELS_OF("matrix", MultiplyMatrices),
    INSTAR_KERNELS_OF("recursion", Recurse),
};
#undef INSTAR_KERNELS_OF

void GeometricMean(benchmark::State& state, Kernel Kernels::*mode) {
  constexpr int kRuns = 101;
  double logarithms = 0;
  for (auto _ : state) {
    logarithms = 0;
    for (const Kernels& kernels : kKernels) {
      const double ratio = RatioOfFastest(
          kRuns, [&] { return SecondsOnce(kernels.*mode); },
          [&] { return SecondsOnce(kernels.without); });
      state.counters[kernels.name] = ratio;
      logarithms += std::log(ratio);
    }
  }
  state.counters["geometric_mean"] = std::exp(logarithms / std::size(kKernels));
}

int RegisterAll() {
  for (const auto& [prefix, mode] :
       {std::pair("loops_late", &Kernels::late),
        std::pair("loops_early", &Kernels::early)}) {
    for (const Kernels& kernels : kKernels) {
      const std::string name = std::string(prefix) + "_" + kernels.name;
      benchmark::RegisterBenchmark((name + "/limit").c_str(), &RunKernel,
                                   kernels.without);
      benchmark::RegisterBenchmark((name + "/instar").c_str(), &RunKernel,
                                   kernels.*mode);
    }
    benchmark::RegisterBenchmark(
        (std::string(prefix) + "_geometric_mean/instar").c_str(),
        &GeometricMean, mode)
        ->Iterations(1);
  }
  return 0;
}

const int g_registered = RegisterAll();

}  // namespace
}  // namespace instar
