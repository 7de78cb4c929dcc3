// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Memory for the objects of updatable classes: slabs of equal slots, in which
// every slot has a mark that says whether an object lives there and which
// version of its class it is. Internal to heap/; users see heap/updatable.h.
//
// All slabs lie in one range of addresses that is reserved at first use, each
// aligned to its size, so that address arithmetic alone finds the slab, the
// slot and the mark of an object:
//
//   range   | slab | slab | slab | ...                 reserved, not committed
//   slab    | header | marks | free bits | remote bits | slot | slot | ...
//
// Cost of a slot: the room to grow, 2 bytes for its mark and 2 bits.
//
// A slab belongs to one class forever and is never unmapped: a stale pointer
// into it may read rubbish, but does not fault. What is free in it can be used
// again by objects of the same class only.
//
// Who may write what:
//   free bits     the thread whose cache owns the slab
//   remote bits   every other thread (atomically); the owner collects them
//   marks         the object's constructor and destructor, and conversions
// A thread's cache outlives the thread and is taken over, with its slabs, by a
// thread that needs memory.
//
// Threads: Arena::Allocate() and FreeSlot() may be called from any thread.
// A slot that one thread freed is given out by another one only after an
// acquire of the bit that the first set with release, so the end of the old
// object happens before the beginning of the new one.
//
// Under AddressSanitizer, free slots and the room behind an object are
// poisoned.

#ifndef INSTAR_HEAP_INTERNAL_SLAB_H_
#define INSTAR_HEAP_INTERNAL_SLAB_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "base/library_code.h"
#include "base/small_mutex.h"

namespace instar {
namespace heap_internal {

class UpdatableClass;
class Arena;
struct Slab;
struct ThreadCache;

// The mark of a slot (and of an object that lives outside of the slabs).
//
//   bits 0-7    0: no object. kBorn: an object as its constructor made it; its
//               virtual table says what it is. Else the number of the version
//               that it was converted to, in UpdatableClass::versions.
//   bits 8-12   epoch: in which birth epoch of the class it was made or last
//               looked at; 0: long ago (UpdatableClass::StartBirthEpoch())
//   bit 13      kDying: about to be destroyed, hands off
//   bit 14      kBusy: one thread is converting it. With kDying: it was one
//               that this process has not (kLost); it is left as it is
//   bit 15      kFailed: its conversion failed; it stays what it is
//
// Stored with release after a conversion, read with acquire before the object
// is used: who sees the new version's number sees all of the new version.
using Mark = std::uint16_t;
constexpr Mark kNoObject = 0;
constexpr Mark kBorn = 1;
constexpr Mark kFirstVersion = 2;
constexpr Mark kLastVersion = 255;
constexpr Mark kVersionMask = 0x00ff;
constexpr int kEpochShift = 8;
constexpr Mark kEpochMask = 0x1f00;
constexpr Mark kDying = 0x2000;
constexpr Mark kBusy = 0x4000;
constexpr Mark kFailed = 0x8000;
constexpr Mark kLost = kBusy | kDying;
constexpr bool IsLost(Mark mark) { return (mark & kLost) == kLost; }
// Whether a thread is converting it, which is worth waiting for.
constexpr bool IsBusy(Mark mark) { return (mark & kLost) == kBusy; }

constexpr std::size_t kSlabBytes = 256 * 1024;
constexpr std::size_t kMaxSlotBytes = 16 * 1024;
constexpr std::size_t kSlotGranule = 16;
constexpr std::size_t kMaxSlotAlignment = 4096;

// Of the slots for objects of this size and alignment, with room to grow.
constexpr std::size_t SlotBytes(std::size_t size, std::size_t room,
                                std::size_t alignment) {
  const std::size_t multiple =
      alignment > kSlotGranule ? alignment : kSlotGranule;
  return (size + room + multiple - 1) / multiple * multiple;
}

struct Slab {
  // Constant once the slab is in use.
  UpdatableClass* owner_class;
  char* first_slot;
  std::uint32_t slot_bytes;
  std::uint32_t reciprocal;  // ceil(2^32 / slot_bytes)
  std::uint32_t slot_count;
  std::uint32_t word_count;
  std::uint32_t arena_id;  // arena->id(), for one load less
  Arena* arena;
  std::uint64_t* free_bits;
  std::atomic<std::uint64_t>* remote_bits;

  // The cache that owns it. Changes only under the arena's lock, when a live
  // thread takes over what a thread that ended left; a thread that compares it
  // with its own cache therefore never finds a stale match.
  std::atomic<ThreadCache*> cache;
  // Owner only: in the cache's list of slabs with free bits, or current there.
  bool listed;
  // True while it is in the cache's `ready` list. A remote free sets it after
  // its bit; the owner clears it (acquire) before it looks at the bits: a bit
  // that is not seen then has yet to set `ready` again, and is not lost.
  std::atomic<bool> ready;
  // An object was made here since the class has had a next version.
  std::atomic<bool> late_births;

  Slab* next_in_class;   // constant once published
  Slab* next_available;  // owner only
  Slab* next_owned;      // arena's lock
  Slab* next_ready;      // arena's lock

  // Whether all slots are free, for whoever looks at many while no other thread
  // uses the class: the slabs of a class stay when its objects go.
  bool IsEmpty() const;

  std::atomic<Mark>* marks() {
    return reinterpret_cast<std::atomic<Mark>*>(this + 1);
  }
  char* slot(std::size_t index) { return first_slot + index * slot_bytes; }

  // The index of the slot that contains `address`, at or behind first_slot.
  // Exact: the offset is below 2^18 and the error of the reciprocal below
  // 2^14, so the product of the two does not reach 2^32.
  std::uint32_t IndexOf(const void* address) const {
    const std::uint32_t offset = static_cast<std::uint32_t>(
        static_cast<const char*>(address) - first_slot);
    return static_cast<std::uint32_t>(
        (static_cast<std::uint64_t>(offset) * reciprocal) >> 32);
  }
};

static_assert(kSlabBytes == std::size_t{1} << 18 &&
                  kMaxSlotBytes == std::size_t{1} << 14,
              "Slab::IndexOf relies on both");

// The reserved range. Written once, before the first slab exists: the begin,
// then the size with release.
struct AddressRange {
  std::atomic<std::uintptr_t> begin;
  std::atomic<std::uintptr_t> size;
};
extern AddressRange address_range;

// The slab that contains `address`, or null if it lies outside of all slabs.
inline Slab* SlabOf(const void* address) {
  const std::uintptr_t a = reinterpret_cast<std::uintptr_t>(address);
  // Partner: the release in ReserveRange(). Whoever sees the size sees the
  // begin; with a size of 0 nothing lies within, and whoever has the address of
  // a pooled object got it from a thread that saw both.
  const std::uintptr_t size =
      address_range.size.load(std::memory_order_acquire);
  if (a - address_range.begin.load(std::memory_order_relaxed) >= size) {
    return nullptr;
  }
  return reinterpret_cast<Slab*>(a & ~(kSlabBytes - 1));
}

// The mark of the slot that starts at `object` in a slab of `owner`, or null if
// there is none (a member of a pooled object lies inside of a slot).
inline std::atomic<Mark>* FindSlotMark(const void* object,
                                       const UpdatableClass* owner) {
  Slab* slab = SlabOf(object);
  if (slab == nullptr || slab->owner_class != owner) return nullptr;
  const std::uint32_t index = slab->IndexOf(object);
  if (slab->slot(index) != object) return nullptr;
  return slab->marks() + index;
}

// What one thread has at hand of one arena.
struct ThreadCache {
  std::uint64_t bits = 0;  // free slots of the group
  char* group = nullptr;   // the group's first slot
  std::uint32_t slot_bytes = 0;
  std::uint32_t word = 0;  // the group's number in `current`
  Slab* current = nullptr;
  Slab* available = nullptr;
  Slab* owned = nullptr;             // arena's lock
  Slab* ready = nullptr;             // arena's lock
  ThreadCache* next_idle = nullptr;  // arena's lock
};

// How locks of heap/ are taken: a thread that owns one is not stopped there, or
// whoever stops threads could make no object.
class HeapLock {
 public:
  explicit HeapLock(SmallMutex& mutex) : lock_(mutex) {}

 private:
  const LibraryCode not_here_;
  const std::lock_guard<SmallMutex> lock_;
};

// This thread's caches by Arena::id(). Initial-exec: one load, no call.
struct ThreadCaches {
  ThreadCache** table;
  std::uint32_t size;
};
extern __thread ThreadCaches thread_caches
    __attribute__((tls_model("initial-exec")));

// The slots of one size that a class has.
class Arena {
 public:
  // `slot_bytes`: a multiple of kSlotGranule, at most kMaxSlotBytes.
  Arena(UpdatableClass* owner, std::size_t slot_bytes);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::uint32_t id() const { return id_; }
  std::size_t slot_bytes() const { return slot_bytes_; }
  // Every slot starts at a multiple of this.
  std::size_t slot_alignment() const { return slot_alignment_; }

  // A slot for an object of `size` bytes. Throws std::bad_alloc.
  void* Allocate(std::size_t size) {
    ThreadCache* cache = CacheOfThisThread();
    if (__builtin_expect(cache == nullptr || cache->bits == 0, 0)) {
      return AllocateSlow(size);
    }
    return TakeSlot(cache, size);
  }

  static void Free(Slab* slab, std::uint32_t index) {
    const std::uint64_t bit = std::uint64_t{1} << (index & 63);
    const std::uint32_t id = slab->arena_id;
    ThreadCache* cache =
        id < thread_caches.size ? thread_caches.table[id] : nullptr;
    // A slab's cache is never null.
    if (__builtin_expect(slab->cache.load(std::memory_order_relaxed) != cache,
                         0)) {
      slab->arena->FreeRemote(slab, index);
      return;
    }
    // The group that slots are taken from: this one will be taken next, while
    // it is in the processor's cache, and no word has to be looked for.
    if (slab == cache->current && index >> 6 == cache->word) {
      cache->bits |= bit;
      return;
    }
    slab->free_bits[index >> 6] |= bit;
    if (__builtin_expect(!slab->listed, 0)) {
      slab->listed = true;
      slab->next_available = cache->available;
      cache->available = slab;
    }
  }

  // All slabs, newest first. A slab that is added meanwhile is not seen.
  Slab* first_slab() const {
    // Partner: the release in NewSlab(). Without it a slab's header could be
    // read before it was written.
    return slabs_.load(std::memory_order_acquire);
  }

  // Around fork(). LockSlabsForFork() comes after those of all arenas.
  void LockForFork() { mutex_.lock(); }
  void UnlockAfterFork() { mutex_.unlock(); }

  Arena* next_in_class = nullptr;  // constant once published

 private:
  friend class ThreadExit;

  ThreadCache* CacheOfThisThread() const {
    return id_ < thread_caches.size ? thread_caches.table[id_] : nullptr;
  }
  void* TakeSlot(ThreadCache* cache, std::size_t size);
  void* AllocateSlow(std::size_t size);
  void FreeRemote(Slab* slab, std::uint32_t index);
  bool Refill(ThreadCache* cache);
  bool TakeWord(ThreadCache* cache);
  Slab* PopReady(ThreadCache* cache);
  bool TakeOverIdle(ThreadCache* cache);
  Slab* NewSlab(ThreadCache* cache);
  ThreadCache* AcquireCache();
  void ReleaseCache(ThreadCache* cache);

  UpdatableClass* const owner_;
  const std::size_t slot_bytes_;
  const std::size_t slot_alignment_;
  const std::uint32_t id_;
  std::atomic<Slab*> slabs_{nullptr};
  SmallMutex mutex_;
  ThreadCache* idle_ = nullptr;  // guarded by mutex_
};

// Gives back the slot at `object`, which is in a slab.
inline void FreeSlot(Slab* slab, void* object);

// The lock under which slabs are mapped, around fork().
void LockSlabsForFork();
void UnlockSlabsAfterFork();

// For tests: how many more slabs may be made before memory counts as exhausted;
// a negative number lifts the limit.
void SetSlabBudgetForTesting(std::int64_t slabs);

// What AddressSanitizer is told; nothing without it.
#if defined(__SANITIZE_ADDRESS__)
#define INSTAR_HEAP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INSTAR_HEAP_ASAN 1
#endif
#endif
#ifdef INSTAR_HEAP_ASAN
void PoisonMemory(const void* begin, std::size_t size);
void UnpoisonMemory(const void* begin, std::size_t size);
#else
inline void PoisonMemory(const void*, std::size_t) {}
inline void UnpoisonMemory(const void*, std::size_t) {}
#endif

inline void* Arena::TakeSlot(ThreadCache* cache, std::size_t size) {
  const int bit = __builtin_ctzll(cache->bits);
  cache->bits &= cache->bits - 1;
  char* slot = cache->group + static_cast<std::size_t>(bit) * cache->slot_bytes;
  UnpoisonMemory(slot, size);
  return slot;
}

inline void FreeSlot(Slab* slab, void* object) {
  const std::uint32_t index = slab->IndexOf(object);
  // Relaxed: the bit that Free() sets orders it before the slot's next use.
  slab->marks()[index].store(kNoObject, std::memory_order_relaxed);
  PoisonMemory(object, slab->slot_bytes);
  Arena::Free(slab, index);
}

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_SLAB_H_
