// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What updates cost the threads that they do not wait for.
//
//   bazelw run -c opt //updates/benchmark:bystander_benchmark
//
// A bystander comes to an update point all the time. An iteration is a second
// of it, in which
//   /nothing       nothing happens: what the machine alone does to it
//   /waiting_plan  a plan waits for a thread that comes to no update point
//   /waiting_class a conversion of a class waits for it
//   /check         such a plan is rehearsed, a few times
// `longest_us` is the longest time between two update points of the bystander
// in which it was held (not only in want of a processor), `most_ms` the most of
// any second that such times of more than 50 us took together, `held` their
// number.
//
// busy_threads/60: that many threads which are busy on one core, in a function
// that is redefined with Stacks::kAllThreads; real time until that is done.
// `stopped_ms` is for how long they were stopped meanwhile.

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "benchmark/benchmark.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr microseconds kNoticed(50);

struct Item : Updatable<Item> {
  virtual int Version() const { return 1; }
};
struct ItemV2 : Item {
  explicit ItemV2(Item&& old) noexcept : Item(std::move(old)) {}
  int Version() const override { return 2; }
};

class Bystander {
 public:
  Bystander()
      : thread_(StartPassiveThread("bystander", [this] {
          Clock::time_point last = Clock::now();
          while (!stop_) {
            UpdatePoint();
            const Clock::time_point now = Clock::now();
            if (now - last > kNoticed) {
              const long waits = Waits();
              if (waits != waits_) gaps_.emplace_back(now, now - last);
              waits_ = waits;
              last = Clock::now();
            } else {
              last = now;
            }
          }
        })) {}

  void Stop(benchmark::State& state) {
    stop_ = true;
    thread_.Join();
    nanoseconds longest{0}, most{0};
    for (std::size_t i = 0; i < gaps_.size(); ++i) {
      longest = std::max(longest, gaps_[i].second);
      nanoseconds sum{0};
      for (std::size_t j = i + 1;
           j-- > 0 && gaps_[j].first > gaps_[i].first - seconds(1);) {
        sum += gaps_[j].second;
      }
      most = std::max(most, sum);
    }
    state.counters["held"] = static_cast<double>(gaps_.size());
    state.counters["longest_us"] =
        static_cast<double>(duration_cast<microseconds>(longest).count());
    state.counters["most_ms"] =
        static_cast<double>(duration_cast<microseconds>(most).count()) / 1000;
  }

 private:
  // How often the thread has waited for something, rather than for a processor.
  static long Waits() {
    rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
  }

  std::vector<std::pair<Clock::time_point, nanoseconds>> gaps_;
  long waits_ = 0;
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

// Comes to no update point, and may not be held where it waits.
class Late {
 public:
  Late()
      : thread_(StartPassiveThread("late", [this] {
          const NoUpdateScope not_here;
          while (!stop_) std::this_thread::sleep_for(milliseconds(1));
        })) {}
  ~Late() { stop_ = true; }

 private:
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

void RunSeconds(benchmark::State& state) {
  for (auto _ : state) std::this_thread::sleep_for(seconds(1));
}

void Nothing(benchmark::State& state) {
  Late late;
  Bystander bystander;
  RunSeconds(state);
  bystander.Stop(state);
}

UpdatePlan Plan() {
  UpdatePlan plan("price");
  plan.Redefine(updates_test::Price, &updates_test::Price2);
  return plan;
}

void WaitingPlan(benchmark::State& state) {
  Late late;
  const auto update = MakeUpdate(Plan());
  update->Prepare().status().IgnoreError();
  Bystander bystander;
  std::thread applier([&] {
    ApplyOptions options;
    options.timeout = std::chrono::hours(1);
    update->Apply(options).IgnoreError();
  });
  RunSeconds(state);
  state.counters["attempts"] = update->Progress().attempts;
  bystander.Stop(state);
  update->Cancel();
  applier.join();
}

void WaitingClass(benchmark::State& state) {
  Late late;
  auto item = std::make_unique<Item>();
  Change update(ConvertEagerly<Item, ItemV2>());
  if (!update.Prepare().ok()) state.SkipWithError("it cannot be prepared");
  Bystander bystander;
  std::atomic<bool> stop{false};
  std::thread applier([&] {
    while (!stop && update.Apply().is_not_yet()) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  RunSeconds(state);
  stop = true;
  bystander.Stop(state);
  applier.join();
}

void Check(benchmark::State& state) {
  Late late;
  const auto update = MakeUpdate(Plan());
  update->Rehearse({}).status().IgnoreError();
  Bystander bystander;
  std::atomic<bool> stop{false};
  std::thread checker([&] {
    while (!stop) {
      update->Rehearse({}).status().IgnoreError();
      std::this_thread::sleep_for(milliseconds(100));
    }
  });
  RunSeconds(state);
  stop = true;
  bystander.Stop(state);
  checker.join();
}

void BusyThreads(benchmark::State& state) {
  cpu_set_t before, one;
  sched_getaffinity(0, sizeof(before), &before);
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof(one), &one);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < state.range(0); ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        for (int n = 0; n < 100000; ++n) asm volatile("");
        benchmark::DoNotOptimize(updates_test::Price(7));
      }
    });
  }
  nanoseconds stopped{0};
  for (auto _ : state) {
    Change update(Redefine(updates_test::Price, &updates_test::Price2),
                  Stacks::kAllThreads);
    while (update.Apply().is_not_yet()) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    stopped += update.time_stopped();
    state.PauseTiming();
    while (update.Undo().is_not_yet()) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    state.ResumeTiming();
  }
  state.counters["stopped_ms"] = benchmark::Counter(
      static_cast<double>(duration_cast<microseconds>(stopped).count()) / 1000,
      benchmark::Counter::kAvgIterations);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  sched_setaffinity(0, sizeof(before), &before);
}

BENCHMARK(Nothing)->Name("bystander/nothing")->Iterations(5)->UseRealTime();
BENCHMARK(WaitingPlan)
    ->Name("bystander/waiting_plan")
    ->Iterations(5)
    ->UseRealTime();
BENCHMARK(WaitingClass)
    ->Name("bystander/waiting_class")
    ->Iterations(5)
    ->UseRealTime();
BENCHMARK(Check)->Name("bystander/check")->Iterations(5)->UseRealTime();
BENCHMARK(BusyThreads)
    ->Name("busy_threads")
    ->Arg(60)
    ->Iterations(5)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace instar
