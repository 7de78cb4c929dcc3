// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a patchable entry costs: unused, redirected, through a Redefinable; and
// how long it takes to arm 10,000 entries while a thread runs.
//
//   bazelw run -c opt //code/benchmark:function_entry_benchmark
//
// <what>/limit is a plain call in the same loop.

#include <atomic>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "code/benchmark/function_entry_benchmark_functions.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/redefinable.h"

namespace instar {
namespace {

using namespace entry_benchmark;  // NOLINT: the functions under test

void PlainCall(benchmark::State& state) {
  int a = 0;
  for (auto _ : state) benchmark::DoNotOptimize(a = Plain(a));
}

void UpdatableCall(benchmark::State& state) {
  int a = 0;
  for (auto _ : state) benchmark::DoNotOptimize(a = Updatable(a));
}

void RedirectedCall(benchmark::State& state) {
  Redirection redirection = *Redirect(&Updatable, &UpdatableNext);
  int a = 0;
  for (auto _ : state) benchmark::DoNotOptimize(a = Updatable(a));
  if (!redirection.Undo().ok()) state.SkipWithError("cannot be undone");
}

void RedefinableCall(benchmark::State& state) {
  static Redefinable<int(int)> slot(&Plain);
  int a = 0;
  for (auto _ : state) benchmark::DoNotOptimize(a = slot(a));
}

void ArmedCall(benchmark::State& state) {
  EntryInterception interception =
      *EntryInterception::Of({*Function::Of(&Updatable)});
  int a = 0;
  for (auto _ : state) benchmark::DoNotOptimize(a = Updatable(a));
}

void InterceptedCall(benchmark::State& state) {
  ScopedEntryInterceptor interceptor([](const InterceptedEntry&) {});
  EntryInterception interception =
      *EntryInterception::Of({*Function::Of(&Updatable)});
  int a = 0;
  for (auto _ : state) benchmark::DoNotOptimize(a = Updatable(a));
}

// A thread that runs through updatable functions while it lives.
class RunningThread {
 public:
  RunningThread()
      : thread_([this] {
          int a = 0;
          while (!stop_.load(std::memory_order_relaxed)) a = Updatable(a);
          benchmark::DoNotOptimize(a);
        }) {}
  ~RunningThread() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Writing 10,000 entries, without the search for them, which is done before
// anybody is disturbed.
void Arm(benchmark::State& state) {
  RunningThread thread;
  const std::vector<EntryRedirection> redirections = [] {
    std::vector<EntryRedirection> result;
    for (const ManyFunction function : kManyFunctions) {
      result.push_back({*Function::Of(function),
                        reinterpret_cast<uintptr_t>(&UpdatableNext)});
    }
    return result;
  }();
  auto batch = Redirection::Prepare(redirections, {true});
  if (!batch.ok()) {
    state.SkipWithError(std::string(batch.status().message()).c_str());
    return;
  }
  for (auto _ : state) {
    if (!batch->Apply().ok()) state.SkipWithError("cannot be applied");
    state.PauseTiming();
    if (!batch->Undo().ok()) state.SkipWithError("cannot be undone");
    state.ResumeTiming();
  }
  state.counters["entries"] = static_cast<double>(redirections.size());
}

// Nothing is prepared: what OfAll() looks up it remembers.
void ArmInterception(benchmark::State& state) {
  RunningThread thread;
  size_t entries = 0;
  if (!EntryInterception::OfAll().ok()) state.SkipWithError("cannot be begun");
  for (auto _ : state) {
    auto interception = EntryInterception::OfAll();
    state.PauseTiming();
    if (!interception.ok() || !interception->Stop().ok()) {
      state.SkipWithError("cannot be intercepted");
      return;
    }
    entries = interception->size();
    state.ResumeTiming();
  }
  state.counters["entries"] = static_cast<double>(entries);
}

BENCHMARK(PlainCall)->Name("call_unpatched/limit");
BENCHMARK(UpdatableCall)->Name("call_unpatched/instar");
BENCHMARK(PlainCall)->Name("call_redirected/limit");
BENCHMARK(RedirectedCall)->Name("call_redirected/instar");
BENCHMARK(PlainCall)->Name("call_redefinable/limit");
BENCHMARK(RedefinableCall)->Name("call_redefinable/instar");
BENCHMARK(PlainCall)->Name("call_armed/limit");
BENCHMARK(ArmedCall)->Name("call_armed/instar");
BENCHMARK(InterceptedCall)->Name("call_intercepted/instar");
BENCHMARK(Arm)->Name("redirect_10000_entries/instar")->UseRealTime();
BENCHMARK(ArmInterception)
    ->Name("intercept_10000_entries/instar")
    ->UseRealTime();

}  // namespace
}  // namespace instar
