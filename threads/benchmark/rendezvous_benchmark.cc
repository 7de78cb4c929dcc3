// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How long it takes to stop and release threads that reach update points all
// the time.
//
//   bazelw run -c opt //threads/benchmark:rendezvous_benchmark
//
// rendezvous_<n>/limit is a bare polling barrier: a flag, a counter, two
// futexes, and nothing of what a rendezvous knows of its threads. /signals
// stops them by a signal each. Threads that have been released run again when
// the system lets them, which with more threads than cores is later than the
// next stop.

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"

namespace instar {
namespace {

void Wait(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void Wake(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

// What all three kinds of threads do between two points.
inline void Work() {
  for (int i = 0; i < 16; ++i) asm volatile("");
}

void Instar(benchmark::State& state, int count) {
  std::atomic<bool> stop{false};
  std::atomic<int> begun{0};
  {
    std::list<ControlledThread> threads;
    for (int i = 0; i < count; ++i) {
      threads.push_back(StartPassiveThread("polling", [&] {
        ++begun;
        while (!stop.load(std::memory_order_relaxed)) {
          Work();
          UpdatePoint();
        }
      }));
    }
    while (begun < count) std::this_thread::yield();
    RendezvousOptions options;
    options.limit = std::chrono::seconds(60);
    // The first reads the symbols of the program, if it has to interrupt
    // anyone.
    if (!Rendezvous::HoldAll(options).ok()) state.SkipWithError("no first");
    for (auto _ : state) {
      auto rendezvous = Rendezvous::HoldAll(options);
      if (!rendezvous.ok()) {
        state.SkipWithError(std::string(rendezvous.status().message()).c_str());
        break;
      }
    }
    stop = true;
  }
}

// Words of the two barriers. Those who have stopped are `missing` no more; they
// wait for the next `epoch`.
std::atomic<std::uint32_t> wanted{0};
std::atomic<std::uint32_t> missing{0};
std::atomic<std::uint32_t> epoch{0};

void Stop() {
  const std::uint32_t now = epoch.load(std::memory_order_relaxed);
  if (missing.fetch_sub(1, std::memory_order_acq_rel) == 1) Wake(missing);
  while (epoch.load(std::memory_order_acquire) == now) Wait(epoch, now);
}

void AwaitAll() {
  while (const std::uint32_t left = missing.load(std::memory_order_acquire)) {
    Wait(missing, left);
  }
}

void LetGo() {
  epoch.fetch_add(1, std::memory_order_release);
  Wake(epoch);
}

void Polling(benchmark::State& state, int count) {
  std::atomic<bool> stop{false};
  std::atomic<int> begun{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      ++begun;
      std::uint32_t seen = wanted.load(std::memory_order_relaxed);
      while (!stop.load(std::memory_order_relaxed)) {
        Work();
        const std::uint32_t now = wanted.load(std::memory_order_acquire);
        if (now == seen) continue;
        seen = now;
        Stop();
      }
    });
  }
  while (begun < count) std::this_thread::yield();
  for (auto _ : state) {
    missing.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
    wanted.fetch_add(1, std::memory_order_release);
    AwaitAll();
    LetGo();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

void Signals(benchmark::State& state, int count) {
  struct sigaction action = {};
  action.sa_handler = [](int) { Stop(); };
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  std::atomic<bool> stop{false};
  std::atomic<int> begun{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      ++begun;
      while (!stop.load(std::memory_order_relaxed)) Work();
    });
  }
  while (begun < count) std::this_thread::yield();
  for (auto _ : state) {
    missing.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
    for (std::thread& thread : threads) {
      pthread_kill(thread.native_handle(), SIGUSR1);
    }
    AwaitAll();
    LetGo();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

int RegisterAll() {
  for (const int count : {2, 16, 64}) {
    const std::string name = "rendezvous_" + std::to_string(count);
    for (const auto& [kind, function] : {std::make_pair("/instar", &Instar),
                                         {"/limit", &Polling},
                                         {"/signals", &Signals}}) {
      benchmark::RegisterBenchmark((name + kind).c_str(), function, count)
          ->UseRealTime();
    }
  }
  return 0;
}

const int g_registered = RegisterAll();

}  // namespace
}  // namespace instar
