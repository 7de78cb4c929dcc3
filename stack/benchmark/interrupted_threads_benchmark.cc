// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How long it takes to stop many threads that wait in read().
//
//   bazelw run -c opt //stack/benchmark:interrupted_threads_benchmark
//
// stop_many/limit/<n> signals the same threads, whose handler counts and
// returns: what no way to stop by signals can do without. Letting them go is
// not measured, in either.

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "stack/interrupted_thread.h"
#include "stack/interrupted_threads.h"

namespace instar {
namespace {

using Clock = std::chrono::steady_clock;

class Readers {
 public:
  explicit Readers(int count) : threads_(static_cast<std::size_t>(count)) {
    if (pipe(ends_) != 0) abort();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    tids.resize(threads_.size());
    for (pthread_t& thread : threads_) {
      if (pthread_create(&thread, &attributes, &Run, this) != 0) abort();
    }
    pthread_attr_destroy(&attributes);
    while (begun_ < count) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ~Readers() {
    close(ends_[1]);
    for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
    close(ends_[0]);
  }

  std::vector<pid_t> tids;

 private:
  static void* Run(void* argument) {
    auto& self = *static_cast<Readers*>(argument);
    self.tids[static_cast<std::size_t>(self.begun_.fetch_add(1))] =
        static_cast<pid_t>(syscall(SYS_gettid));
    char byte;
    while (read(self.ends_[0], &byte, 1) < 0) {
    }
    return nullptr;
  }

  int ends_[2];
  std::atomic<int> begun_{0};
  std::vector<pthread_t> threads_;
};

void Instar(benchmark::State& state) {
  Readers readers(static_cast<int>(state.range(0)));
  (void)InterruptionSignal();
  for (auto _ : state) {
    const auto begin = Clock::now();
    InterruptedThreads held;
    for (const pid_t tid : readers.tids) held.Add(tid);
    const bool is_held = held.Hold(std::chrono::seconds(60));
    state.SetIterationTime(
        std::chrono::duration<double>(Clock::now() - begin).count());
    if (!is_held || held.held() != readers.tids.size()) {
      state.SkipWithError("not all are held");
    }
    held.Release();
    // Until they wait in read() again.
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
}

std::atomic<int> answers{0};

void Limit(benchmark::State& state) {
  Readers readers(static_cast<int>(state.range(0)));
  struct sigaction action = {};
  action.sa_handler = [](int) { ++answers; };
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  for (auto _ : state) {
    const auto begin = Clock::now();
    answers = 0;
    for (const pid_t tid : readers.tids) {
      syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
    }
    while (answers < static_cast<int>(readers.tids.size())) {
      std::this_thread::yield();
    }
    state.SetIterationTime(
        std::chrono::duration<double>(Clock::now() - begin).count());
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
}

BENCHMARK(Instar)
    ->Name("stop_many/instar")
    ->Arg(50)
    ->Arg(500)
    ->Arg(2000)
    ->UseManualTime()
    ->Iterations(50)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(Limit)
    ->Name("stop_many/limit")
    ->Arg(50)
    ->Arg(500)
    ->Arg(2000)
    ->UseManualTime()
    ->Iterations(50)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace instar
