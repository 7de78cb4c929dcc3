// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/shadow/internal/address_table.h"

#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/at_fork.h"
#include "base/check.h"
#include "base/library_code.h"
#include "base/small_mutex.h"
#include "heap/internal/slab.h"

namespace instar {
namespace heap_internal {
namespace {

constexpr int kFirstBits = 3;  // 8 slots

struct alignas(64) ShardLock {
  SmallMutex mutex;
};
// Of all tables, by shard. Constant-initialized: objects of static storage may
// end at any time.
ShardLock g_locks[16];
AddressTable* g_tables = nullptr;

void LockAll() {
  for (ShardLock& lock : g_locks) lock.mutex.lock();
}
void UnlockAll() {
  for (ShardLock& lock : g_locks) lock.mutex.unlock();
}

class AllShardsLock {
 public:
  AllShardsLock() { LockAll(); }
  ~AllShardsLock() { UnlockAll(); }

 private:
  const LibraryCode not_here_;
};

[[gnu::constructor]] void RegisterForkHandlers() {
  SetForkHandlers(ForkOrder::kShadows, {&LockAll, &UnlockAll, &UnlockAll});
}

}  // namespace

// Behind the slots that it replaced, which look-ups may still be in.
struct AddressTable::Slots {
  std::uintptr_t before;
};

static_assert(sizeof(g_locks) / sizeof(g_locks[0]) == 16);

AddressTable::~AddressTable() {
  Unregister();
  EndAll();
  for (Shard& shard : shards_) {
    std::uintptr_t slots = shard.slots.exchange(0, std::memory_order_relaxed);
    while (slots != 0) {
      Slot* const all = SlotsAt(slots);
      const std::size_t count = std::size_t{1} << BitsOf(slots);
      slots = reinterpret_cast<Slots*>(all + count)->before;
      std::free(all);
    }
  }
}

void* AddressTable::FindUnderLock(const void* address,
                                  std::uint64_t hash) const {
  const std::size_t index = ShardIndex(hash);
  HeapLock lock(g_locks[index].mutex);
  const Slot* const slot = SlotOf(shards_[index], address, hash);
  return slot == nullptr ? nullptr
                         : slot->value.load(std::memory_order_relaxed);
}

AddressTable::Slot* AddressTable::SlotOf(const Shard& shard,
                                         const void* address,
                                         std::uint64_t hash) {
  const std::uintptr_t slots = shard.slots.load(std::memory_order_relaxed);
  if (slots == 0) return nullptr;
  Slot* const all = SlotsAt(slots);
  const int bits = BitsOf(slots);
  const std::size_t mask = (std::size_t{1} << bits) - 1;
  for (std::size_t i = Home(hash, bits);; i = (i + 1) & mask) {
    const void* const there = all[i].address.load(std::memory_order_relaxed);
    if (there == nullptr) return nullptr;
    if (there == address) return &all[i];
  }
}

void AddressTable::Put(std::uintptr_t slots, const void* address, void* value) {
  Slot* const all = SlotsAt(slots);
  const int bits = BitsOf(slots);
  const std::size_t mask = (std::size_t{1} << bits) - 1;
  std::size_t i = Home(HashOf(address), bits);
  while (all[i].address.load(std::memory_order_relaxed) != nullptr) {
    i = (i + 1) & mask;
  }
  // Partner: the acquires in Probe(), which looks at the address first.
  all[i].value.store(value, std::memory_order_release);
  all[i].address.store(address, std::memory_order_release);
}

void AddressTable::MakeRoom(Shard& shard) {
  const std::uintptr_t old = shard.slots.load(std::memory_order_relaxed);
  const int old_bits = old == 0 ? 0 : BitsOf(old);
  const std::size_t old_count = old == 0 ? 0 : std::size_t{1} << old_bits;
  if (3 * (shard.taken.load(std::memory_order_relaxed) + 1) <= 2 * old_count) {
    return;
  }
  const int bits = old == 0 ? kFirstBits : old_bits + 1;
  const std::size_t count = std::size_t{1} << bits;
  const std::size_t bytes = count * sizeof(Slot) + kSlotsAlignment;
  static_assert(sizeof(Slots) <= kSlotsAlignment);
  void* const memory = std::aligned_alloc(kSlotsAlignment, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  Slot* const all = static_cast<Slot*>(memory);
  for (std::size_t i = 0; i < count; ++i) new (&all[i]) Slot;
  new (all + count) Slots{old};
  const std::uintptr_t made =
      reinterpret_cast<std::uintptr_t>(memory) | static_cast<unsigned>(bits);
  for (std::size_t i = 0; i < old_count; ++i) {
    const Slot& slot = SlotsAt(old)[i];
    const void* const address = slot.address.load(std::memory_order_relaxed);
    if (address == nullptr) continue;
    Put(made, address, slot.value.load(std::memory_order_relaxed));
  }
  // Partner: the acquire in Find().
  shard.slots.store(made, std::memory_order_release);
}

std::atomic<std::uint64_t> AddressTable::seen_[(1 << kSeenBits) / 64] = {};

void* AddressTable::AddUnderLock(Shard& shard, const void* address,
                                 void* value) {
  MakeRoom(shard);
  NoteSeen(address);
  Put(shard.slots.load(std::memory_order_relaxed), address, value);
  shard.taken.store(shard.taken.load(std::memory_order_relaxed) + 1,
                    std::memory_order_relaxed);
  return value;
}

void* AddressTable::Add(const void* address, void* value) {
  INSTAR_CHECK(address != nullptr) << name_ << ": there is no object";
  BeRegistered();
  const std::uint64_t hash = HashOf(address);
  const std::size_t index = ShardIndex(hash);
  Shard& shard = shards_[index];
  HeapLock lock(g_locks[index].mutex);
  const Slot* const slot = SlotOf(shard, address, hash);
  if (slot != nullptr) return slot->value.load(std::memory_order_relaxed);
  return AddUnderLock(shard, address, value);
}

void* AddressTable::Exchange(const void* address, void* value) {
  INSTAR_CHECK(address != nullptr) << name_ << ": there is no object";
  BeRegistered();
  const std::uint64_t hash = HashOf(address);
  const std::size_t index = ShardIndex(hash);
  Shard& shard = shards_[index];
  HeapLock lock(g_locks[index].mutex);
  Slot* const slot = SlotOf(shard, address, hash);
  if (slot == nullptr) {
    AddUnderLock(shard, address, value);
    return nullptr;
  }
  // Partner: the acquire in Probe().
  return slot->value.exchange(value, std::memory_order_acq_rel);
}

// What comes behind it and does not stand where it belongs moves up, so that no
// free slot lies between where an address belongs and where it is.
void AddressTable::TakeAt(Shard& shard, std::size_t index) {
  const std::uintptr_t slots = shard.slots.load(std::memory_order_relaxed);
  Slot* const all = SlotsAt(slots);
  const int bits = BitsOf(slots);
  const std::size_t mask = (std::size_t{1} << bits) - 1;
  const std::uint64_t sequence = shard.sequence.load(std::memory_order_relaxed);
  // Odd, before anything changes: partner in Find(). The stores below are
  // releases, so whoever reads one of them sees this, too.
  shard.sequence.store(sequence + 1, std::memory_order_relaxed);
  std::size_t hole = index;
  for (std::size_t i = (hole + 1) & mask;; i = (i + 1) & mask) {
    const void* const address = all[i].address.load(std::memory_order_relaxed);
    if (address == nullptr) break;
    const std::size_t home = Home(HashOf(address), bits);
    // Stays if its home lies behind the hole, up to where it is.
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    all[hole].value.store(all[i].value.load(std::memory_order_relaxed),
                          std::memory_order_release);
    all[hole].address.store(address, std::memory_order_release);
    hole = i;
  }
  all[hole].address.store(nullptr, std::memory_order_release);
  all[hole].value.store(nullptr, std::memory_order_release);
  shard.sequence.store(sequence + 2, std::memory_order_release);
  shard.taken.store(shard.taken.load(std::memory_order_relaxed) - 1,
                    std::memory_order_relaxed);
}

// Under the shard's lock; null if there is none.
void* AddressTable::Take(const void* address, std::uint64_t hash) {
  Shard& shard = shards_[ShardIndex(hash)];
  Slot* const slot = SlotOf(shard, address, hash);
  if (slot == nullptr) return nullptr;
  void* const value = slot->value.load(std::memory_order_relaxed);
  TakeAt(shard,
         static_cast<std::size_t>(
             slot - SlotsAt(shard.slots.load(std::memory_order_relaxed))));
  return value;
}

bool AddressTable::EndOf(const void* address) {
  const std::uint64_t hash = HashOf(address);
  void* value;
  {
    HeapLock lock(g_locks[ShardIndex(hash)].mutex);
    value = Take(address, hash);
  }
  if (value == nullptr) return false;
  end_(value, context_);
  return true;
}

std::size_t AddressTable::EndAll() {
  constexpr std::size_t kAtOnce = 64;
  std::size_t ended = 0;
  for (std::size_t index = 0; index < kShards; ++index) {
    Shard& shard = shards_[index];
    std::size_t cursor = 0;
    while (true) {
      void* values[kAtOnce];
      std::size_t count = 0;
      {
        HeapLock lock(g_locks[index].mutex);
        const std::uintptr_t slots =
            shard.slots.load(std::memory_order_relaxed);
        while (count < kAtOnce &&
               shard.taken.load(std::memory_order_relaxed) > 0) {
          Slot* const all = SlotsAt(slots);
          const std::size_t mask = (std::size_t{1} << BitsOf(slots)) - 1;
          cursor &= mask;
          if (all[cursor].address.load(std::memory_order_relaxed) == nullptr) {
            ++cursor;
            continue;
          }
          // Another one may move to where it was.
          values[count++] = all[cursor].value.load(std::memory_order_relaxed);
          TakeAt(shard, cursor);
        }
      }
      for (std::size_t i = 0; i < count; ++i) end_(values[i], context_);
      ended += count;
      if (count < kAtOnce) break;
    }
  }
  return ended;
}

std::size_t AddressTable::size() const {
  std::size_t all = 0;
  for (const Shard& shard : shards_) {
    all += shard.taken.load(std::memory_order_relaxed);
  }
  return all;
}

void AddressTable::ForEach(
    absl::FunctionRef<void(const void*, void*)> visit) const {
  std::vector<std::pair<const void*, void*>> found;
  for (std::size_t index = 0; index < kShards; ++index) {
    const Shard& shard = shards_[index];
    found.clear();
    {
      HeapLock lock(g_locks[index].mutex);
      const std::uintptr_t slots = shard.slots.load(std::memory_order_relaxed);
      const std::size_t count =
          slots == 0 ? 0 : std::size_t{1} << BitsOf(slots);
      for (std::size_t i = 0; i < count; ++i) {
        const Slot& slot = SlotsAt(slots)[i];
        const void* const address =
            slot.address.load(std::memory_order_relaxed);
        if (address == nullptr) continue;
        found.emplace_back(address, slot.value.load(std::memory_order_relaxed));
      }
    }
    for (const auto& [address, value] : found) visit(address, value);
  }
}

void AddressTable::Register() {
  const AllShardsLock lock;
  if (is_registered_.load(std::memory_order_relaxed)) return;
  next_ = g_tables;
  g_tables = this;
  is_registered_.store(true, std::memory_order_release);
}

void AddressTable::Unregister() {
  const AllShardsLock lock;
  if (!is_registered_.load(std::memory_order_relaxed)) return;
  is_registered_.store(false, std::memory_order_relaxed);
  AddressTable** link = &g_tables;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
}

void AddressTable::EndInAllTables(const void* address) {
  const std::uint64_t hash = HashOf(address);
  while (true) {
    void* value = nullptr;
    End end = nullptr;
    void* context = nullptr;
    {
      HeapLock lock(g_locks[ShardIndex(hash)].mutex);
      for (AddressTable* t = g_tables; t != nullptr && value == nullptr;
           t = t->next_) {
        value = t->Take(address, hash);
        end = t->end_;
        context = t->context_;
      }
    }
    if (value == nullptr) return;
    end(value, context);
  }
}

AddressTable& TableAt(std::atomic<AddressTable*>& where, const char* name,
                      AddressTable::End end, void* context) {
  AddressTable* known = where.load(std::memory_order_acquire);
  if (known != nullptr) return *known;
  auto made = std::make_unique<AddressTable>(name, end, context);
  // Release: partner of whoever loads it.
  if (where.compare_exchange_strong(known, made.get(),
                                    std::memory_order_acq_rel,
                                    std::memory_order_acquire)) {
    return *made.release();
  }
  return *known;
}

}  // namespace heap_internal
}  // namespace instar
