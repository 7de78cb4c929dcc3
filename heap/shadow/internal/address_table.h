// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Values by address: what heap/shadow/shadow.h is made of. Internal to heap/
// and to instar.h.
//
//   table   | shard | shard | ...           kShards, by the hash of the address
//   shard   | sequence | slots, their number | how many are taken
//   slots   | address, value | ...          open addressing, linear probing
//
// A look-up takes no lock and writes nothing. What could mislead it is told by
// the shard's sequence:
//
//   what is done to the shard    what a look-up at the same time finds
//   a value is added             it, or nothing: the value is stored first
//   the slots become more        the same in the old ones, which stay
//   a value is taken out         an odd sequence, or another one than before:
//     (others move up for it)    it looks again
//
// Whoever changes a shard owns one of kShards locks, which all tables have in
// common: so what all tables hold of one address is taken out under one lock.
// Slots are not given back before the table ends: they are at most three times
// as many as there were values at one time, and as many again that have been
// outgrown.
//
// Threads: any, but for the destructor.

#ifndef INSTAR_HEAP_SHADOW_INTERNAL_ADDRESS_TABLE_H_
#define INSTAR_HEAP_SHADOW_INTERNAL_ADDRESS_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"

namespace instar {
namespace heap_internal {

class AddressTable {
 public:
  // What ends a value that is taken out; called under no lock. `context` is
  // the table's.
  using End = void (*)(void* value, void* context);

  // `name`, for people, must stay.
  AddressTable(const char* name, End end, void* context)
      : name_(name), end_(end), context_(context) {}
  // Ends the values. While nobody uses it; objects may die meanwhile.
  ~AddressTable();
  AddressTable(const AddressTable&) = delete;
  AddressTable& operator=(const AddressTable&) = delete;

  // Null if there is none.
  void* Find(const void* address) const {
    const std::uint64_t hash = HashOf(address);
    const Shard& shard = shards_[ShardIndex(hash)];
    // Partner: both stores in TakeAt(). What the probe reads was stored with
    // release behind an odd sequence, so that a probe that saw any of it finds
    // another sequence than this one afterwards.
    const std::uint64_t sequence =
        shard.sequence.load(std::memory_order_acquire);
    // Partner: the release in Grow(): the slots are filled.
    const std::uintptr_t slots = shard.slots.load(std::memory_order_acquire);
    if (slots == 0) return nullptr;
    void* const found = Probe(slots, address, hash);
    if (__builtin_expect(
            (sequence & 1) != 0 ||
                shard.sequence.load(std::memory_order_relaxed) != sequence,
            0)) {
      return FindUnderLock(address, hash);
    }
    return found;
  }

  // Adds the value, unless there is one; answers what is there. Throws
  // std::bad_alloc, and then nothing has changed.
  void* Add(const void* address, void* value);
  // Adds the value; answers the one that was there, which is the caller's.
  void* Exchange(const void* address, void* value);
  // Takes it out and ends it; whether there was one.
  bool EndOf(const void* address);
  // Takes out and ends all that are there; answers how many. What is added
  // meanwhile may stay.
  std::size_t EndAll();

  std::size_t size() const;
  // Of those that are there all along. Copies them first: throws
  // std::bad_alloc.
  void ForEach(
      absl::FunctionRef<void(const void* address, void* value)> visit) const;

  // Ends what any table has of the address.
  static void EndInAllTables(const void* address);
  // False if no table has anything of the address, nor ever had of one that
  // looks alike. Relaxed: whoever ends an object has been told of what was
  // attached to it, in an ordered way.
  static bool MayHave(const void* address) {
    const std::uint64_t bit = HashOf(address) >> (64 - kSeenBits);
    return (seen_[bit / 64].load(std::memory_order_relaxed) &
            (std::uint64_t{1} << (bit % 64))) != 0;
  }

 private:
  static constexpr int kShardBits = 4;
  static constexpr std::size_t kShards = std::size_t{1} << kShardBits;

  // Written under the shard's lock.
  struct Slot {
    std::atomic<const void*> address{nullptr};
    std::atomic<void*> value{nullptr};
  };
  // Which addresses something has been attached to, by their hash.
  static constexpr int kSeenBits = 16;
  static std::atomic<std::uint64_t> seen_[(1 << kSeenBits) / 64];
  static void NoteSeen(const void* address) {
    if (MayHave(address)) return;
    const std::uint64_t bit = HashOf(address) >> (64 - kSeenBits);
    seen_[bit / 64].fetch_or(std::uint64_t{1} << (bit % 64),
                             std::memory_order_relaxed);
  }

  // Aligned to kSlotsAlignment: the low bits of its address, as it is kept, are
  // the logarithm of how many slots there are.
  struct Slots;
  static constexpr std::size_t kSlotsAlignment = 64;

  struct alignas(64) Shard {
    std::atomic<std::uint64_t> sequence{0};
    std::atomic<std::uintptr_t> slots{0};
    std::atomic<std::size_t> taken{0};
  };

  // Fibonacci hashing: addresses that lie in a row are spread evenly by it.
  static std::uint64_t HashOf(const void* address) {
    return reinterpret_cast<std::uintptr_t>(address) * 0x9E3779B97F4A7C15u;
  }
  static std::size_t ShardIndex(std::uint64_t hash) {
    return hash >> (64 - kShardBits);
  }
  static int BitsOf(std::uintptr_t slots) {
    return static_cast<int>(slots & (kSlotsAlignment - 1));
  }
  static Slot* SlotsAt(std::uintptr_t slots) {
    return reinterpret_cast<Slot*>(slots & ~(kSlotsAlignment - 1));
  }
  // Where an address of this hash belongs, of so many slots.
  static std::size_t Home(std::uint64_t hash, int bits) {
    return (hash << kShardBits) >> (64 - bits);
  }

  static void* Probe(std::uintptr_t slots, const void* address,
                     std::uint64_t hash) {
    const Slot* const all = SlotsAt(slots);
    const int bits = BitsOf(slots);
    const std::size_t mask = (std::size_t{1} << bits) - 1;
    // At least a third of the slots is free.
    for (std::size_t i = Home(hash, bits);; i = (i + 1) & mask) {
      // Partner: the release in Put(): the value is there.
      const void* const there = all[i].address.load(std::memory_order_acquire);
      if (there == address) return all[i].value.load(std::memory_order_acquire);
      if (there == nullptr) return nullptr;  // comes last: most are found
    }
  }
  [[gnu::cold, gnu::noinline]] void* FindUnderLock(const void* address,
                                                   std::uint64_t hash) const;

  // Under the shard's lock.
  static void Put(std::uintptr_t slots, const void* address, void* value);
  static Slot* SlotOf(const Shard& shard, const void* address,
                      std::uint64_t hash);
  static void TakeAt(Shard& shard, std::size_t index);
  void* Take(const void* address, std::uint64_t hash);
  void MakeRoom(Shard& shard);
  void* AddUnderLock(Shard& shard, const void* address, void* value);

  // In the list of all tables, from the first value on. Under no lock.
  void BeRegistered() {
    if (!is_registered_.load(std::memory_order_acquire)) Register();
  }
  void Register();
  void Unregister();

  const char* const name_;
  const End end_;
  void* const context_;
  Shard shards_[kShards];
  // Changed under all locks, read under any of them.
  AddressTable* next_ = nullptr;
  // Release in Register(), acquire where it is asked: once is enough.
  std::atomic<bool> is_registered_{false};
};

// The table of whoever needs it first. Throws std::bad_alloc.
AddressTable& TableAt(std::atomic<AddressTable*>& where, const char* name,
                      AddressTable::End end, void* context);

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_SHADOW_INTERNAL_ADDRESS_TABLE_H_
