// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What it costs to make and destroy an object, against plain new and delete,
// and against two pools that a program would write itself.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_set>
#include <vector>

#include "benchmark/benchmark.h"
#include "heap/updatable.h"

namespace instar {
namespace {

struct Plain {
  virtual ~Plain() = default;
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
};
static_assert(sizeof(Plain) == 48);

struct Pooled : Updatable<Pooled> {
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
};
static_assert(sizeof(Pooled) == 48);

// With as much room as a pointer needs: what the room of the others costs.
struct WithLittleRoom : Updatable<WithLittleRoom, 16> {
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
};

// The paper's pool, translated word by word.
struct InSet {
  InSet() {
    std::lock_guard<std::mutex> lock(mutex);
    pool.insert(this);
  }
  virtual ~InSet() {
    std::lock_guard<std::mutex> lock(mutex);
    pool.erase(this);
  }
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
  static inline std::mutex mutex;
  static inline std::unordered_set<InSet*> pool;
};

template <typename T>
struct ByNew {
  using Pointer = T*;
  static T* Make() { return new T; }
  static void Destroy(T*& object) { delete object; }
};

// A vector of weak references beside shared objects; swept when it has doubled.
struct ByWeakPtr {
  using Pointer = std::shared_ptr<Plain>;
  static Pointer Make() {
    auto object = std::make_shared<Plain>();
    std::lock_guard<std::mutex> lock(mutex);
    if (pool.size() >= limit) {
      pool.erase(std::remove_if(pool.begin(), pool.end(),
                                [](auto& weak) { return weak.expired(); }),
                 pool.end());
      limit = std::max<std::size_t>(1024, 2 * pool.size());
    }
    pool.push_back(object);
    return object;
  }
  static void Destroy(Pointer& object) { object.reset(); }
  static inline std::mutex mutex;
  static inline std::vector<std::weak_ptr<Plain>> pool;
  static inline std::size_t limit = 1024;
};

template <typename Maker>
void Pair(benchmark::State& state) {
  for (auto _ : state) {
    auto object = Maker::Make();
    benchmark::DoNotOptimize(object);
    Maker::Destroy(object);
  }
}

template <typename Maker>
void FillAndClear(benchmark::State& state) {
  std::vector<typename Maker::Pointer> objects(
      static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    for (auto& object : objects) object = Maker::Make();
    benchmark::ClobberMemory();
    for (auto& object : objects) Maker::Destroy(object);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

template <typename Maker>
void RandomOrder(benchmark::State& state) {
  std::vector<typename Maker::Pointer> objects(
      static_cast<std::size_t>(state.range(0)));
  std::mt19937 random(1);
  std::vector<std::uint32_t> order(objects.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  for (auto _ : state) {
    for (auto& object : objects) object = Maker::Make();
    for (std::uint32_t i : order) Maker::Destroy(objects[i]);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// Looks at each object, in the order in which they were made, or in another.
template <typename T>
void Walk(benchmark::State& state) {
  std::vector<T*> objects(static_cast<std::size_t>(state.range(0)));
  for (auto& object : objects) object = new T;
  if (state.range(1) != 0) {
    std::shuffle(objects.begin(), objects.end(), std::mt19937(1));
  }
  for (auto _ : state) {
    std::int64_t sum = 0;
    for (const T* object : objects) sum += object->fields[2];
    benchmark::DoNotOptimize(sum);
  }
  for (T* object : objects) delete object;
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// One thread makes, another destroys, a thousand at a time.
template <typename Maker>
void OtherThreadFrees(benchmark::State& state) {
  constexpr std::size_t kBatch = 1000;
  std::vector<typename Maker::Pointer> batch(kBatch);
  std::atomic<int> turn{0};  // 0: maker, 1: destroyer, 2: end
  std::thread destroyer([&] {
    while (true) {
      int now;
      while ((now = turn.load(std::memory_order_acquire)) == 0) {
        std::this_thread::yield();
      }
      if (now == 2) return;
      for (auto& object : batch) Maker::Destroy(object);
      turn.store(0, std::memory_order_release);
    }
  });
  for (auto _ : state) {
    for (auto& object : batch) object = Maker::Make();
    turn.store(1, std::memory_order_release);
    while (turn.load(std::memory_order_acquire) != 0) {
      std::this_thread::yield();
    }
  }
  turn.store(2, std::memory_order_release);
  destroyer.join();
  state.SetItemsProcessed(state.iterations() * kBatch);
}

BENCHMARK(Pair<ByNew<Pooled>>)->Name("make_and_destroy/instar");
BENCHMARK(Pair<ByNew<Plain>>)->Name("make_and_destroy/limit");
BENCHMARK(Pair<ByNew<InSet>>)->Name("make_and_destroy/unordered_set");
BENCHMARK(Pair<ByWeakPtr>)->Name("make_and_destroy/weak_ptr");

BENCHMARK(FillAndClear<ByNew<Pooled>>)
    ->Name("fill_and_clear/instar")
    ->Arg(100000);
BENCHMARK(FillAndClear<ByNew<WithLittleRoom>>)
    ->Name("fill_and_clear/little_room")
    ->Arg(100000);
BENCHMARK(FillAndClear<ByNew<Plain>>)
    ->Name("fill_and_clear/limit")
    ->Arg(100000);
BENCHMARK(FillAndClear<ByNew<InSet>>)
    ->Name("fill_and_clear/unordered_set")
    ->Arg(100000);
BENCHMARK(FillAndClear<ByWeakPtr>)
    ->Name("fill_and_clear/weak_ptr")
    ->Arg(100000);

BENCHMARK(Walk<Pooled>)
    ->Name("walk/instar")
    ->Args({1000000, 0})
    ->Args({1000000, 1});
BENCHMARK(Walk<WithLittleRoom>)
    ->Name("walk/little_room")
    ->Args({1000000, 0})
    ->Args({1000000, 1});
BENCHMARK(Walk<Plain>)
    ->Name("walk/limit")
    ->Args({1000000, 0})
    ->Args({1000000, 1});

BENCHMARK(RandomOrder<ByNew<Pooled>>)
    ->Name("random_order/instar")
    ->Arg(1000000);
BENCHMARK(RandomOrder<ByNew<Plain>>)->Name("random_order/limit")->Arg(1000000);
BENCHMARK(RandomOrder<ByNew<InSet>>)
    ->Name("random_order/unordered_set")
    ->Arg(1000000);
BENCHMARK(RandomOrder<ByWeakPtr>)->Name("random_order/weak_ptr")->Arg(1000000);

BENCHMARK(OtherThreadFrees<ByNew<Pooled>>)
    ->Name("other_thread_frees/instar")
    ->UseRealTime();
BENCHMARK(OtherThreadFrees<ByNew<Plain>>)
    ->Name("other_thread_frees/limit")
    ->UseRealTime();
BENCHMARK(OtherThreadFrees<ByNew<InSet>>)
    ->Name("other_thread_frees/unordered_set")
    ->UseRealTime();
BENCHMARK(OtherThreadFrees<ByWeakPtr>)
    ->Name("other_thread_frees/weak_ptr")
    ->UseRealTime();

}  // namespace
}  // namespace instar
