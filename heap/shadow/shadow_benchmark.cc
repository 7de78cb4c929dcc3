// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What it costs to find shadow data, against the hash tables that a program
// would use: with no lock, which several threads cannot share while one of them
// attaches, and with one. `limit` is a pointer in the object itself.
//
// Argument: how many objects have data. Objects are looked up in an order that
// is not that in which they lie.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "benchmark/benchmark.h"
#include "heap/shadow/shadow.h"

namespace instar {
namespace {

struct Data {
  std::int64_t value = 1;
};
struct Object {
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
  Data* data = nullptr;
};

// Objects with data, and as many without.
struct World {
  explicit World(std::size_t count) : with(count), without(count) {
    std::mt19937_64 random(7);
    for (auto* all : {&with, &without}) {
      for (auto& object : *all) object = std::make_unique<Object>();
      std::shuffle(all->begin(), all->end(), random);
    }
  }
  std::vector<std::unique_ptr<Object>> with, without;
};

struct InShadow {
  void Attach(Object* object) { shadow.Attach(object); }
  bool Detach(Object* object) { return shadow.Detach(object); }
  const Data* Find(const Object* object) const { return shadow.Find(object); }
  ~InShadow() { shadow.End(); }
  Shadow<Data> shadow{"benchmark"};
};

struct InObject {
  void Attach(Object* object) { object->data = new Data; }
  bool Detach(Object* object) {
    delete object->data;
    object->data = nullptr;
    return true;
  }
  const Data* Find(const Object* object) const { return object->data; }
};

template <typename Map>
struct In {
  void Attach(Object* object) { map.emplace(object, std::make_unique<Data>()); }
  bool Detach(Object* object) { return map.erase(object) == 1; }
  const Data* Find(const Object* object) const {
    const auto found = map.find(object);
    return found == map.end() ? nullptr : found->second.get();
  }
  Map map;
};
using InFlatHashMap =
    In<absl::flat_hash_map<const Object*, std::unique_ptr<Data>>>;
using InUnorderedMap =
    In<std::unordered_map<const Object*, std::unique_ptr<Data>>>;

template <typename Table, typename Mutex, typename ReadLock>
struct Locked {
  void Attach(Object* object) {
    std::lock_guard<Mutex> lock(mutex);
    table.Attach(object);
  }
  bool Detach(Object* object) {
    std::lock_guard<Mutex> lock(mutex);
    return table.Detach(object);
  }
  const Data* Find(const Object* object) const {
    ReadLock lock(mutex);
    return table.Find(object);
  }
  Table table;
  mutable Mutex mutex;
};
using UnderMutex =
    Locked<InFlatHashMap, std::mutex, std::lock_guard<std::mutex>>;
using UnderSharedMutex = Locked<InFlatHashMap, std::shared_mutex,
                                std::shared_lock<std::shared_mutex>>;

enum Asked { kHasData, kHasNone };

template <typename Table, Asked kAsked>
void Find(benchmark::State& state) {
  static World* world;
  static Table* table;
  if (state.thread_index() == 0) {
    world = new World(static_cast<std::size_t>(state.range(0)));
    table = new Table;
    for (const auto& object : world->with) table->Attach(object.get());
  }
  std::size_t i = 0;
  for (auto _ : state) {
    const auto& asked = kAsked == kHasData ? world->with : world->without;
    benchmark::DoNotOptimize(table->Find(asked[i].get()));
    if (++i == asked.size()) i = 0;
  }
  if (state.thread_index() == 0) {
    for (const auto& object : world->with) table->Detach(object.get());
    delete table;
    delete world;
  }
}

template <typename Table>
void AttachAndDetach(benchmark::State& state) {
  const World world(static_cast<std::size_t>(state.range(0)));
  Table table;
  for (const auto& object : world.with) table.Attach(object.get());
  std::size_t i = 0;
  for (auto _ : state) {
    Object* const object = world.without[i].get();
    table.Attach(object);
    benchmark::DoNotOptimize(table.Detach(object));
    if (++i == world.without.size()) i = 0;
  }
  for (const auto& object : world.with) table.Detach(object.get());
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(16)->Arg(1000)->Arg(100000);
}
void Shared(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(1000)->Threads(2)->UseRealTime();
}

BENCHMARK_TEMPLATE(Find, InShadow, kHasData)
    ->Name("shadow_find/instar")
    ->Apply(Sizes);
BENCHMARK_TEMPLATE(Find, InObject, kHasData)
    ->Name("shadow_find/limit")
    ->Apply(Sizes);
BENCHMARK_TEMPLATE(Find, InFlatHashMap, kHasData)
    ->Name("shadow_find/flat_hash_map")
    ->Apply(Sizes);
BENCHMARK_TEMPLATE(Find, InUnorderedMap, kHasData)
    ->Name("shadow_find/unordered_map")
    ->Apply(Sizes);
BENCHMARK_TEMPLATE(Find, UnderMutex, kHasData)
    ->Name("shadow_find/mutex_and_flat_hash_map")
    ->Apply(Sizes);

BENCHMARK_TEMPLATE(Find, InShadow, kHasNone)
    ->Name("shadow_miss/instar")
    ->Apply(Sizes);
BENCHMARK_TEMPLATE(Find, InFlatHashMap, kHasNone)
    ->Name("shadow_miss/flat_hash_map")
    ->Apply(Sizes);
BENCHMARK_TEMPLATE(Find, InUnorderedMap, kHasNone)
    ->Name("shadow_miss/unordered_map")
    ->Apply(Sizes);

BENCHMARK_TEMPLATE(Find, InShadow, kHasData)
    ->Name("shadow_find_by_two_threads/instar")
    ->Apply(Shared);
BENCHMARK_TEMPLATE(Find, UnderMutex, kHasData)
    ->Name("shadow_find_by_two_threads/mutex_and_flat_hash_map")
    ->Apply(Shared);
BENCHMARK_TEMPLATE(Find, UnderSharedMutex, kHasData)
    ->Name("shadow_find_by_two_threads/shared_mutex_and_flat_hash_map")
    ->Apply(Shared);

BENCHMARK_TEMPLATE(AttachAndDetach, InShadow)
    ->Name("shadow_attach_detach/instar")
    ->Apply(Sizes);
BENCHMARK_TEMPLATE(AttachAndDetach, UnderMutex)
    ->Name("shadow_attach_detach/mutex_and_flat_hash_map")
    ->Apply(Sizes);
BENCHMARK_TEMPLATE(AttachAndDetach, InUnorderedMap)
    ->Name("shadow_attach_detach/unordered_map")
    ->Apply(Sizes);

}  // namespace
}  // namespace instar
