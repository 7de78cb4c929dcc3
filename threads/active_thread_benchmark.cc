// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What it costs to be updatable while no update is pending.
//
//   bazelw run -c opt //threads:active_thread_benchmark
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

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <string>

#include "benchmark/benchmark.h"
#include "code/benchmark/kernels_for_benchmark.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"

namespace instar {
namespace {

using Kernel = uint64_t (*)();

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

void InPlainThread(benchmark::State& state, Kernel kernel) {
  for (auto _ : state) benchmark::DoNotOptimize(kernel());
}

void InActiveThread(benchmark::State& state, Kernel kernel) {
  RunControlled("benchmark", ThreadKind::kActive,
                [&] { InPlainThread(state, kernel); });
}

// Of this thread's processor time: others may use the machine.
double SecondsOnce(Kernel kernel) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * time.tv_nsec;
  };
  const double start = now();
  benchmark::DoNotOptimize(kernel());
  return now() - start;
}

void GeometricMean(benchmark::State& state) {
  constexpr int kRuns = 51;
  double logarithms = 0;
  for (auto _ : state) {
    logarithms = 0;
    for (const Kernels& kernels : kKernels) {
      double plain = 1e9, active = 1e9;
      const auto run_active = [&] {
        RunControlled("benchmark", ThreadKind::kActive, [&] {
          active = std::min(active, SecondsOnce(kernels.updatable));
        });
      };
      for (int i = 0; i < kRuns; ++i) {
        // In either order, for each finds the heap as the other leaves it.
        if (i % 2 == 0) run_active();
        plain = std::min(plain, SecondsOnce(kernels.plain));
        if (i % 2 != 0) run_active();
      }
      state.counters[kernels.name] = active / plain;
      logarithms += std::log(active / plain);
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
    benchmark::RegisterBenchmark((name + "/limit").c_str(), &InPlainThread,
                                 kernels.plain);
    benchmark::RegisterBenchmark((name + "/instar").c_str(), &InActiveThread,
                                 kernels.updatable);
    benchmark::RegisterBenchmark((name + "/instrument_functions").c_str(),
                                 &InPlainThread, kernels.instrumented);
    benchmark::RegisterBenchmark((name + "/trace_pc").c_str(), &InPlainThread,
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
