// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an update costs that cannot be applied: it is tried again and again.
//
//   bazelw run -c opt //updates/benchmark:pending_update_benchmark
//
// pending_update_thread_<kernel>/instar: the thread that is to be updated, in
// its kernel, while the function that it runs is to be redefined.
// pending_update_bystander_<kernel>/instar: another active thread, meanwhile.
// /limit is the same two threads without the update. Real time: what the
// library's own thread takes counts, too.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "benchmark/benchmark.h"
#include "code/benchmark/kernels_for_benchmark.h"
#include "threads/controlled_thread.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using Kernel = uint64_t (*)();

enum class Measured { kThread, kBystander };

void Run(benchmark::State& state, Kernel kernel, Measured measured,
         bool pending) {
  std::atomic<bool> stop{false};
  ControlledThread other = StartActiveThread("other", [&] {
    updates_test::Depth(0, [&] {
      while (!stop.load(std::memory_order_relaxed)) {
        benchmark::DoNotOptimize(kernel());
      }
    });
  });
  RunControlled("benchmark", ThreadKind::kActive, [&] {
    updates_test::Depth(0, [&] {
      const ThreadRef updated =
          measured == Measured::kThread ? *ThisControlledThread() : other.ref();
      UpdateRequest request = SetUpdateFunction(
          updated,
          Change(Redefine(&updates_test::Depth, &updates_test::Depth2)));
      if (pending) request.Trigger();
      for (auto _ : state) benchmark::DoNotOptimize(kernel());
      if (request.is_finished()) state.SkipWithError("it was applied");
      state.counters["attempts"] = request.attempts();
      request.Cancel();
      stop = true;
    });
  });
}

int RegisterAll() {
  struct {
    const char* name;
    Kernel kernel;
  } constexpr kKernels[] = {
      {"json", &updatable_kernels::ParseJson},
      {"sort", &updatable_kernels::Sort},
      {"recursion", &updatable_kernels::Recurse},
  };
  for (const auto& [name, kernel] : kKernels) {
    for (const auto& [who, measured] :
         {std::make_pair("thread", Measured::kThread),
          {"bystander", Measured::kBystander}}) {
      const std::string family =
          std::string("pending_update_") + who + "_" + name;
      benchmark::RegisterBenchmark((family + "/limit").c_str(), &Run, kernel,
                                   measured, false)
          ->UseRealTime();
      benchmark::RegisterBenchmark((family + "/instar").c_str(), &Run, kernel,
                                   measured, true)
          ->UseRealTime();
    }
  }
  return 0;
}

const int g_registered = RegisterAll();

}  // namespace
}  // namespace instar
