// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Throwing and catching through 8 frames in a program that is linked with
// Instar and libunwind, and (throw/limit) in the same program without: a
// process of its own, throw_alone, started beside this one. Each iteration is
// the mean of 20,000 exceptions.

#define UNW_LOCAL_ONLY
#include <libunwind.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "benchmark/benchmark.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "stack/testing/throw_through_frames.h"

namespace instar {
namespace {

constexpr int kThrows = 20000;

void ThrowInstar(benchmark::State& state) {
  unw_context_t context;  // keeps libunwind linked
  unw_getcontext(&context);
  benchmark::DoNotOptimize(
      WalkStack(SnapshotOfCaller(), [](const Frame&) { return true; }).frames);
  for (auto _ : state) state.SetIterationTime(TimeThrows(kThrows) * 1e-9);
}

// throw_alone lies beside this program.
std::string AloneCommand() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  const std::string self(path, size > 0 ? static_cast<std::size_t>(size) : 0);
  return self.substr(0, self.rfind('/')) + "/throw_alone " +
         std::to_string(kThrows);
}

void ThrowLimit(benchmark::State& state) {
  const std::string command = AloneCommand();
  for (auto _ : state) {
    double nanoseconds = 0;
    FILE* const output = popen(command.c_str(), "r");
    if (output == nullptr || std::fscanf(output, "%lf", &nanoseconds) != 1) {
      state.SkipWithError("throw_alone does not run");
    }
    if (output != nullptr) pclose(output);
    state.SetIterationTime(nanoseconds * 1e-9);
  }
}

BENCHMARK(ThrowInstar)
    ->Name("throw/instar")
    ->UseManualTime()
    ->Iterations(10)
    ->Unit(benchmark::kNanosecond);
BENCHMARK(ThrowLimit)
    ->Name("throw/limit")
    ->UseManualTime()
    ->Iterations(10)
    ->Unit(benchmark::kNanosecond);

}  // namespace
}  // namespace instar

BENCHMARK_MAIN();
