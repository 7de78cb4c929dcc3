// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How long it takes to redefine a function safely and to take that back, with
// other threads at work; and to reboot a thread.
//
//   bazelw run -c opt //updates/benchmark:redefine_benchmark
//
// redefine_undo_<n>/limit redirects without a look at any stack. The others
// look at the stacks of <n> threads, at a rendezvous or stopped by signals.
// reboot/instar lets a passive thread that polls begin its function anew;
// reboot/limit ends one thread and starts another.

#include <atomic>
#include <chrono>
#include <list>
#include <string>
#include <thread>

#include "benchmark/benchmark.h"
#include "code/function_entry.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/reboot_thread.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using namespace updates_test;  // NOLINT: the functions that are redefined

// Threads that reach update points all the time.
class Workers {
 public:
  explicit Workers(int count) {
    for (int i = 0; i < count; ++i) {
      threads_.push_back(StartPassiveThread("worker", [this] {
        ++begun_;
        while (!stop_.load(std::memory_order_relaxed)) UpdatePoint();
      }));
    }
    while (begun_ < count) std::this_thread::yield();
  }
  ~Workers() { stop_ = true; }

 private:
  std::atomic<int> begun_{0};
  std::atomic<bool> stop_{false};
  std::list<ControlledThread> threads_;
};

void Redirected(benchmark::State& state, int count) {
  Workers workers(count);
  auto redirection = Redirection::Prepare(
      {{*Function::Of(&Price), reinterpret_cast<uintptr_t>(&Price2)}});
  for (auto _ : state) {
    if (!redirection->Apply().ok() || !redirection->Undo().ok()) {
      state.SkipWithError("it was not redirected");
    }
  }
}

void Redefined(benchmark::State& state, int count, Stacks stacks) {
  Workers workers(count);
  ChangeOptions options(stacks);
  options.limit = std::chrono::seconds(60);
  Change update(Redefine(&Price, &Price2), options);
  if (!update.Prepare().ok()) state.SkipWithError("it cannot be redefined");
  for (auto _ : state) {
    // Not yet, if a thread was not run for as long as a signal is waited for.
    while (update.Apply().is_not_yet()) {
    }
    while (update.Undo().is_not_yet()) {
    }
  }
}

void Rebooted(benchmark::State& state) {
  std::atomic<bool> stop{false};
  std::atomic<int> begun{0};
  const auto main = [&] {
    ++begun;
    while (!stop.load(std::memory_order_relaxed)) UpdatePoint();
  };
  ControlledThread thread = StartPassiveThread("worker", main);
  while (begun == 0) std::this_thread::yield();
  for (auto _ : state) {
    const int before = begun;
    UpdateRequest request = SetUpdateFunction(thread, RebootThread(main));
    request.Trigger();
    if (!request.Await(std::chrono::seconds(60)).ok()) {
      state.SkipWithError("it was not rebooted");
      break;
    }
    while (begun == before) std::this_thread::yield();
  }
  stop = true;
}

void Restarted(benchmark::State& state) {
  std::atomic<int> stop{0};
  std::atomic<int> begun{0};
  const auto start = [&](int number) {
    return std::thread([&, number] {
      ++begun;
      while (stop.load(std::memory_order_relaxed) < number) UpdatePoint();
    });
  };
  int number = 1;
  std::thread thread = start(number);
  while (begun == 0) std::this_thread::yield();
  for (auto _ : state) {
    const int before = begun;
    stop = number;
    thread.join();
    thread = start(++number);
    while (begun == before) std::this_thread::yield();
  }
  stop = number;
  thread.join();
}

int RegisterAll() {
  for (const int count : {2, 16}) {
    const std::string name = "redefine_undo_" + std::to_string(count);
    benchmark::RegisterBenchmark((name + "/limit").c_str(), &Redirected, count)
        ->UseRealTime();
    benchmark::RegisterBenchmark((name + "/instar").c_str(), &Redefined, count,
                                 Stacks::kControlledThreads)
        ->UseRealTime();
    benchmark::RegisterBenchmark((name + "/instar_signals").c_str(), &Redefined,
                                 count, Stacks::kAllThreads)
        ->UseRealTime();
  }
  benchmark::RegisterBenchmark("reboot/limit", &Restarted)->UseRealTime();
  benchmark::RegisterBenchmark("reboot/instar", &Rebooted)->UseRealTime();
  return 0;
}

const int g_registered = RegisterAll();

}  // namespace
}  // namespace instar
