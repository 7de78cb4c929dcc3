// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What it costs to convert, and what the way to an object costs meanwhile.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <unordered_set>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "heap/conversion.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"

namespace instar {
namespace {

// One class for each number of objects: a class keeps the memory of the most
// objects that it ever had. Its slots have 64 bytes, as what it is compared
// with.
template <int kCount>
struct Item : Updatable<Item<kCount>, 16> {
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
};
template <int kCount>
struct ItemV2Of : Item<kCount> {
  explicit ItemV2Of(Item<kCount>&& old) noexcept
      : Item<kCount>(std::move(old)) {}
  std::int64_t mark = 0;
};
static_assert(sizeof(Item<0>) == 48 && sizeof(ItemV2Of<0>) == 56);

// In place, all of them.
template <int kMost, int kCount = kMost>
void EagerInPlace(benchmark::State& state) {
  using Item = Item<kMost + kCount>;
  using ItemV2 = ItemV2Of<kMost + kCount>;
  if (kMost > kCount) {  // that many existed once
    std::vector<std::unique_ptr<Item>> gone(kMost);
    for (auto& item : gone) item = std::make_unique<Item>();
  }
  const std::size_t count = kCount;
  std::vector<std::unique_ptr<Item>> items(count);
  for (auto& item : items) item = std::make_unique<Item>();
  auto step = EagerConversion<Item, ItemV2>();
  for (auto _ : state) {
    state.PauseTiming();
    if (!step->Undo().ok() || !step->Prepare().ok()) std::abort();
    state.ResumeTiming();
    if (!step->Apply().ok()) std::abort();
  }
  if (!step->Undo().ok()) std::abort();
  state.SetItemsProcessed(state.iterations() * kCount);
}

// A streaming copy of as many slots of 64 bytes: what any conversion that is
// not in place does at the least.
void StreamingCopy(benchmark::State& state) {
  const std::size_t count = static_cast<std::size_t>(state.range(0));
  struct alignas(64) Slot {
    char bytes[64];
  };
  std::vector<Slot> from(count), to(count);
  std::memset(static_cast<void*>(from.data()), 1, count * sizeof(Slot));
  for (auto _ : state) {
    std::memcpy(static_cast<void*>(to.data()), from.data(),
                count * sizeof(Slot));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// The paper's pool, translated: a set of addresses, each object replaced by a
// new one of the next class, of which the pointers to it know nothing.
struct Plain {
  virtual ~Plain() = default;
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
};
struct PlainV2 : Plain {
  explicit PlainV2(Plain&& old) : Plain(std::move(old)) {}
  std::int64_t mark = 0;
};
void ReplaceInSet(benchmark::State& state) {
  const std::size_t count = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    std::mutex mutex;
    std::unordered_set<Plain*> pool, next;
    for (std::size_t i = 0; i < count; ++i) pool.insert(new Plain);
    state.ResumeTiming();
    {
      std::lock_guard<std::mutex> lock(mutex);
      for (Plain* old : pool) {
        next.insert(new PlainV2(std::move(*old)));
        delete old;
      }
      pool.swap(next);
    }
    state.PauseTiming();
    for (Plain* item : pool) delete item;
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// The same with a vector of weak references.
void ReplaceThroughWeakPtr(benchmark::State& state) {
  const std::size_t count = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<std::shared_ptr<Plain>> owners(count);
    std::vector<std::weak_ptr<Plain>> pool;
    for (auto& owner : owners) {
      owner = std::make_shared<Plain>();
      pool.push_back(owner);
    }
    std::vector<std::shared_ptr<Plain>> next;
    next.reserve(count);
    state.ResumeTiming();
    for (auto& weak : pool) {
      if (std::shared_ptr<Plain> old = weak.lock()) {
        next.push_back(std::make_shared<PlainV2>(std::move(*old)));
        weak = next.back();
      }
    }
    state.PauseTiming();
    owners.clear();
    next.clear();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// `a_tenth_left`: of the objects that the class had once.
BENCHMARK(EagerInPlace<1000000>)
    ->Name("convert_all/instar/1000000")
    ->Unit(benchmark::kMillisecond);
BENCHMARK(EagerInPlace<10000000>)
    ->Name("convert_all/instar/10000000")
    ->Unit(benchmark::kMillisecond);
BENCHMARK(EagerInPlace<10000000, 1000000>)
    ->Name("convert_all/a_tenth_left/1000000")
    ->Unit(benchmark::kMillisecond);
BENCHMARK(StreamingCopy)
    ->Name("convert_all/limit")
    ->Arg(1000000)
    ->Arg(10000000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(ReplaceInSet)
    ->Name("convert_all/unordered_set")
    ->Arg(1000000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(ReplaceThroughWeakPtr)
    ->Name("convert_all/weak_ptr")
    ->Arg(1000000)
    ->Unit(benchmark::kMillisecond);

// A dependent chain over 8,192 objects in random order.
constexpr int kChain = 8192;
struct RawNode : Updatable<RawNode> {
  RawNode* next = nullptr;
  std::int64_t fields[4] = {};
};
struct ProxyNode : Updatable<ProxyNode> {
  LazyProxy<ProxyNode> next;
  std::int64_t fields[3] = {};
};
static_assert(sizeof(RawNode) == sizeof(ProxyNode));
struct PlainNode {
  virtual ~PlainNode() = default;
  PlainNode* next = nullptr;
  std::int64_t fields[4] = {};
  char as_far_apart[16];
};

template <typename Node>
void Chain(benchmark::State& state) {
  std::vector<std::unique_ptr<Node>> nodes(kChain);
  for (auto& node : nodes) node = std::make_unique<Node>();
  std::shuffle(nodes.begin(), nodes.end(), std::mt19937(1));
  for (int i = 0; i < kChain; ++i) {
    nodes[i]->next = nodes[(i + 1) % kChain].get();
  }
  Node* position = nodes[0].get();
  for (int i = 0; i < kChain; ++i) position = &*position->next;
  for (auto _ : state) {
    for (int i = 0; i < kChain; ++i) position = &*position->next;
    benchmark::DoNotOptimize(position);
  }
  state.SetItemsProcessed(state.iterations() * kChain);
}
BENCHMARK(Chain<ProxyNode>)->Name("chain_through_proxy/instar");
BENCHMARK(Chain<RawNode>)->Name("chain_through_proxy/limit");
BENCHMARK(Chain<RawNode>)->Name("chain_through_pointer/instar");
BENCHMARK(Chain<PlainNode>)->Name("chain_through_pointer/limit");

// The first access after an update, conversion included: what is timed is one
// access to each of 8,192 objects; the second family is the same without an
// update.
struct Accessed : Updatable<Accessed> {
  std::int64_t fields[5] = {1, 2, 3, 4, 5};
};
struct AccessedV2 : Accessed {
  explicit AccessedV2(Accessed&& old) noexcept : Accessed(std::move(old)) {}
  std::int64_t mark = 0;
};
template <bool kUpdate>
void FirstAccess(benchmark::State& state) {
  std::vector<LazyUnique<Accessed>> items;
  for (int i = 0; i < kChain; ++i)
    items.emplace_back(std::make_unique<Accessed>());
  auto step = LazyConversion<Accessed, AccessedV2>();
  for (auto _ : state) {
    state.PauseTiming();
    if (!step->Undo().ok() || !step->Prepare().ok()) std::abort();
    if (kUpdate && !step->Apply().ok()) std::abort();
    if (!kUpdate) {
      for (auto& item : items) benchmark::DoNotOptimize(item.get());
    }
    state.ResumeTiming();
    for (auto& item : items) benchmark::DoNotOptimize(item.get());
  }
  if (!step->Undo().ok()) std::abort();
  state.SetItemsProcessed(state.iterations() * kChain);
}
BENCHMARK(FirstAccess<true>)->Name("first_access/instar");
BENCHMARK(FirstAccess<false>)->Name("first_access/limit");

}  // namespace
}  // namespace instar
