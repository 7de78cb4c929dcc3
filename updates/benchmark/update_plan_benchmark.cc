// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How long a thread is held while a plan is applied that redefines a function,
// converts one class eagerly and another one lazily, as the update of the
// example does (examples/add_ratings.cc): the longest of all threads, by number
// of threads and of objects to be converted eagerly.
//
// The limit is a rendezvous of the same threads in which nothing is done, and
// the conversion of the same objects in another one.
//
// Before each, the thread that applies sleeps for a while, as one does that
// waits for commands: the scheduler would let it wait, in the middle of an
// update, if it had used up its share of the processors.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "benchmark/benchmark.h"
#include "heap/conversion.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"
#include "updates/testing/functions_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

struct Site : Updatable<Site> {
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
};
struct SiteV2 : Site {
  explicit SiteV2(Site&& old) noexcept : Site(std::move(old)) {}
  std::int64_t mark = 0;
};

struct Product : Updatable<Product> {
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  std::int64_t mark = 0;
};

int NewPrice(int article) { return 1000 + article; }

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

// Threads that come to update points all the time, and objects.
class Program {
 public:
  Program(std::int64_t threads, std::int64_t objects) {
    for (std::int64_t i = 0; i < threads; ++i) {
      threads_.push_back(StartPassiveThread("busy", [this] {
        while (!stop_.load(std::memory_order_relaxed)) UpdatePoint();
      }));
    }
    for (std::int64_t i = 0; i < objects; ++i) {
      sites_.push_back(std::make_unique<Site>());
    }
  }
  ~Program() { stop_ = true; }

 private:
  std::vector<std::unique_ptr<Site>> sites_;
  std::atomic<bool> stop_{false};
  std::list<ControlledThread> threads_;
};

void AwaitCommand() {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void ApplyPlan(benchmark::State& state) {
  const Program program(state.range(0), state.range(1));
  UpdatePlan plan("ratings");
  plan.ConvertLazily<Product, ProductV2>();
  plan.ConvertEagerly<Site, SiteV2>();
  plan.Redefine(updates_test::Price, &NewPrice);
  const std::unique_ptr<Update> update = MakeUpdate(std::move(plan));
  for (auto _ : state) {
    AwaitCommand();
    Check(update->Apply({}));
    state.SetIterationTime(
        std::chrono::duration<double>(update->hold_times().maximum).count());
    Check(update->Undo({}));
  }
}

Rendezvous HoldAll() {
  absl::StatusOr<Rendezvous> rendezvous = Rendezvous::HoldAll();
  Check(rendezvous.status());
  return *std::move(rendezvous);
}

void RendezvousAndConversion(benchmark::State& state) {
  const Program program(state.range(0), state.range(1));
  const auto step = EagerConversion<Site, SiteV2>();
  for (auto _ : state) {
    nanoseconds longest{0};
    AwaitCommand();
    {
      Rendezvous rendezvous = HoldAll();
      rendezvous.Release();
      for (const nanoseconds held : rendezvous.HoldTimes()) {
        longest = std::max(longest, held);
      }
    }
    Check(step->Prepare());
    {
      const Rendezvous rendezvous = HoldAll();
      const Clock::time_point begin = Clock::now();
      Check(step->Apply());
      longest += Clock::now() - begin;
      Check(step->Undo());
    }
    state.SetIterationTime(std::chrono::duration<double>(longest).count());
  }
}

void Sizes(benchmark::internal::Benchmark* family) {
  for (const std::int64_t threads : {2, 16, 64}) {
    for (const std::int64_t objects : {0, 10000, 1000000}) {
      family->Args({threads, objects});
    }
  }
  family->UseManualTime();
}

BENCHMARK(ApplyPlan)->Name("thread_held/instar")->Apply(Sizes);
BENCHMARK(RendezvousAndConversion)->Name("thread_held/limit")->Apply(Sizes);

}  // namespace
}  // namespace instar
