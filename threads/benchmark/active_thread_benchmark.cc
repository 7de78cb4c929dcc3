// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What it costs to be updatable while no update is pending.
//
//   bazelw run -c opt //threads/benchmark:active_thread_benchmark
//
// active_thread_<kernel>/limit is plain code in a plain thread, /instar
// updatable code in an active thread. The other two are the paper's way, a
// trace function (PyMoult (HotSWUP'13), section 2.1), as compilers offer it: a
// callback at each entry and exit (-finstrument-functions) or basic block
// (-fsanitize-coverage=trace-pc) that tests a flag. "geometric_mean" counts the
// mean of instar / limit, measured alternately, fastest of 51 runs each.
//
// update_point/instar is an UpdatePoint() with nothing pending, /limit the same
// loop without.

#include <atomic>
#include <cmath>
#include <iterator>
#include <string>

#include "benchmark/benchmark.h"
#include "code/benchmark/kernel_time.h"
#include "code/benchmark/kernels_for_benchmark.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"

namespace instar {
namespace {

struct Kernels {
  const char* name;
  Kernel plain;
  Kernel updatable;
  Kernel instrumented;
  Kernel trace_pc;
};

#define INSTAR_KERNEL(name, function)                                \
  {                                                                  \
    name, &plain_kernels::function, &updatable_kernels::function,    \
        &instrumented_kernels::function, &trace_pc_kernels::function \
  }
constexpr Kernels kKernels[] = {
    INSTAR_KERNEL("json", ParseJson),
    INSTAR_KERNEL("hash_map", FillHashMap),
    INSTAR_KERNEL("sort", Sort),
    INSTAR_KERNEL("matrix", MultiplyMatrices),
    INSTAR_KERNEL("recursion", Recurse),
};

void InActiveThread(benchmark::State& state, Kernel kernel) {
  RunControlled("benchmark", ThreadKind::kActive,
                [&] { RunKernel(state, kernel); });
}

void GeometricMean(benchmark::State& state) {
  constexpr int kRuns = 51;
  double logarithms = 0;
  for (auto _ : state) {
    logarithms = 0;
    for (const Kernels& kernels : kKernels) {
      const auto run_active = [&] {
        double seconds = 0;
        RunControlled("benchmark", ThreadKind::kActive,
                      [&] { seconds = SecondsOnce(kernels.updatable); });
        return seconds;
      };
      const double ratio = RatioOfFastest(
          kRuns, run_active, [&] { return SecondsOnce(kernels.plain); });
      state.counters[kernels.name] = ratio;
      logarithms += std::log(ratio);
    }
  }
  state.counters["geometric_mean"] = std::exp(logarithms / std::size(kKernels));
}

void Loop(benchmark::State& state) {
  for (auto _ : state) asm volatile("");
}

void UpdatePoints(benchmark::State& state) {
  RunControlled("benchmark", ThreadKind::kPassive, [&] {
    for (auto _ : state) {
      UpdatePoint();
      asm volatile("");
    }
  });
}

int RegisterAll() {
  for (const Kernels& kernels : kKernels) {
    const std::string name = std::string("active_thread_") + kernels.name;
    benchmark::RegisterBenchmark((name + "/limit").c_str(), &RunKernel,
                                 kernels.plain);
    benchmark::RegisterBenchmark((name + "/instar").c_str(), &InActiveThread,
                                 kernels.updatable);
    benchmark::RegisterBenchmark((name + "/instrument_functions").c_str(),
                                 &RunKernel, kernels.instrumented);
    benchmark::RegisterBenchmark((name + "/trace_pc").c_str(), &RunKernel,
                                 kernels.trace_pc);
  }
  benchmark::RegisterBenchmark("active_thread_geometric_mean/instar",
                               &GeometricMean)
      ->Iterations(1);
  benchmark::RegisterBenchmark("update_point/limit", &Loop);
  benchmark::RegisterBenchmark("update_point/instar", &UpdatePoints);
  return 0;
}

const int g_registered = RegisterAll();

}  // namespace
}  // namespace instar
