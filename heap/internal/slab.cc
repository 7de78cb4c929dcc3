// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/internal/slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "base/check.h"

#ifdef INSTAR_HEAP_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace instar {
namespace heap_internal {
namespace {

// Reserved, not committed: what the kernel keeps for it is one entry. Halved
// until the limit on address space (RLIMIT_AS) admits it.
#if defined(__SANITIZE_THREAD__)
constexpr std::size_t kRangeBytes = std::size_t{1} << 34;
#else
constexpr std::size_t kRangeBytes = std::size_t{1} << 40;
#endif
// A program with many objects gets them in huge pages, eight slabs at a time:
// fewer faults, and far fewer misses when all objects are visited. A program
// with few does not pay for that with memory.
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
constexpr std::size_t kHugePagesFrom = std::size_t{8} << 20;
constexpr std::size_t kSmallestRange = kHugePageBytes;

SmallMutex range_mutex;
std::uintptr_t range_used = 0;    // guarded by range_mutex
std::uintptr_t range_usable = 0;  // mapped; guarded by range_mutex
std::int64_t slab_budget = -1;    // guarded by range_mutex
std::atomic<std::uint32_t> arena_count{0};

// Guarded by range_mutex.
bool ReserveRange() {
  for (std::size_t size = kRangeBytes; size >= kSmallestRange; size /= 2) {
    void* memory = mmap(nullptr, size + kHugePageBytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) continue;
    const std::uintptr_t begin =
        (reinterpret_cast<std::uintptr_t>(memory) + kHugePageBytes - 1) &
        ~(kHugePageBytes - 1);
    address_range.begin.store(begin, std::memory_order_relaxed);
    address_range.size.store(size, std::memory_order_release);
    return true;
  }
  return false;
}

// kSlabBytes of zeros, or null.
void* MapSlab() {
  HeapLock lock(range_mutex);
  if (slab_budget == 0) return nullptr;
  if (address_range.size.load(std::memory_order_relaxed) == 0 &&
      !ReserveRange()) {
    return nullptr;
  }
  if (range_used == range_usable) {
    if (range_used == address_range.size.load(std::memory_order_relaxed)) {
      return nullptr;
    }
    void* next = reinterpret_cast<void*>(
        address_range.begin.load(std::memory_order_relaxed) + range_used);
    const std::size_t bytes =
        range_used < kHugePagesFrom ? kSlabBytes : kHugePageBytes;
    if (mprotect(next, bytes, PROT_READ | PROT_WRITE) != 0) return nullptr;
    // Advice: where the kernel has no huge pages, small ones do.
    if (bytes == kHugePageBytes) madvise(next, bytes, MADV_HUGEPAGE);
    range_usable += bytes;
  }
  void* slab = reinterpret_cast<void*>(
      address_range.begin.load(std::memory_order_relaxed) + range_used);
  range_used += kSlabBytes;
  if (slab_budget > 0) --slab_budget;
  return slab;
}

std::size_t RoundUp(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

AddressRange address_range{{0}, {0}};
__thread ThreadCaches thread_caches
    __attribute__((tls_model("initial-exec"))) = {nullptr, 0};

// Hands this thread's caches back when the thread ends. Objects that are made
// or destroyed later still (by destructors of other thread_local variables)
// borrow a cache for the one operation.
class ThreadExit {
 public:
  ~ThreadExit() {
    ended_ = true;
    for (auto& [arena, cache] : caches_) arena->ReleaseCache(cache);
    delete[] thread_caches.table;
    thread_caches = {nullptr, 0};
  }

  static bool ended() { return ended_; }

  void Add(Arena* arena, ThreadCache* cache) {
    if (arena->id() >= thread_caches.size) {
      const std::uint32_t size = std::max<std::uint32_t>(16, 2 * arena->id());
      ThreadCache** table = new ThreadCache*[size]();
      std::copy(thread_caches.table, thread_caches.table + thread_caches.size,
                table);
      delete[] std::exchange(thread_caches.table, table);
      thread_caches.size = size;
    }
    caches_.emplace_back(arena, cache);
    thread_caches.table[arena->id()] = cache;
  }

 private:
  std::vector<std::pair<Arena*, ThreadCache*>> caches_;
  static thread_local bool ended_;
};

thread_local bool ThreadExit::ended_ = false;

namespace {
thread_local ThreadExit thread_exit;
}  // namespace

Arena::Arena(UpdatableClass* owner, std::size_t slot_bytes)
    : owner_(owner),
      slot_bytes_(slot_bytes),
      slot_alignment_(
          std::min(slot_bytes & (~slot_bytes + 1), kMaxSlotAlignment)),
      id_(arena_count.fetch_add(1, std::memory_order_relaxed)) {
  INSTAR_CHECK(slot_bytes % kSlotGranule == 0 && slot_bytes > 0 &&
               slot_bytes <= kMaxSlotBytes)
      << slot_bytes;
}

bool Slab::IsEmpty() const {
  for (std::uint32_t word = 0; word < word_count; ++word) {
    const std::uint32_t behind = slot_count - word * 64;
    const std::uint64_t all =
        behind >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << behind) - 1;
    if ((free_bits[word] | remote_bits[word].load(std::memory_order_relaxed)) !=
        all) {
      return false;  // or some are in a cache
    }
  }
  return true;
}

void* Arena::AllocateSlow(std::size_t size) {
  ThreadCache* cache = CacheOfThisThread();
  if (cache == nullptr) {
    cache = AcquireCache();
    if (ThreadExit::ended()) {
      void* slot = nullptr;
      if (cache->bits != 0 || Refill(cache)) slot = TakeSlot(cache, size);
      ReleaseCache(cache);
      if (slot == nullptr) throw std::bad_alloc();
      return slot;
    }
    try {
      thread_exit.Add(this, cache);
    } catch (...) {
      ReleaseCache(cache);
      throw;
    }
  }
  if (cache->bits == 0 && !Refill(cache)) throw std::bad_alloc();
  return TakeSlot(cache, size);
}

// Finds a group of slots with something free in it.
bool Arena::Refill(ThreadCache* cache) {
  while (true) {
    if (cache->current != nullptr) {
      if (TakeWord(cache)) return true;
      cache->current->listed = false;
      cache->current = nullptr;
    }
    Slab* slab = cache->available;
    if (slab != nullptr) {
      cache->available = slab->next_available;
    } else {
      slab = PopReady(cache);
      if (slab == nullptr && TakeOverIdle(cache)) continue;
      if (slab == nullptr) slab = NewSlab(cache);
      if (slab == nullptr) return false;
      slab->listed = true;
    }
    cache->current = slab;
    cache->word = 0;
  }
}

// Moves the free bits of one word of the current slab into the cache: those
// that this thread freed, or else those that others freed.
bool Arena::TakeWord(ThreadCache* cache) {
  Slab* slab = cache->current;
  std::uint32_t word = cache->word;
  for (std::uint32_t i = 0; i < slab->word_count; ++i) {
    std::uint64_t bits = std::exchange(slab->free_bits[word], 0);
    if (bits == 0 &&
        slab->remote_bits[word].load(std::memory_order_relaxed) != 0) {
      // Partner: the release in FreeRemote(). What the other thread did to its
      // object happens before the slot is used again.
      bits = slab->remote_bits[word].exchange(0, std::memory_order_acquire);
    }
    if (bits != 0) {
      cache->bits = bits;
      cache->word = word;
      cache->group = slab->slot(std::size_t{word} * 64);
      return true;
    }
    if (++word == slab->word_count) word = 0;
  }
  return false;
}

void Arena::FreeRemote(Slab* slab, std::uint32_t index) {
  const std::uint64_t bit = std::uint64_t{1} << (index & 63);
  slab->remote_bits[index >> 6].fetch_or(bit, std::memory_order_release);
  // Partner: PopReady(). See Slab::ready. The order of the two operations above
  // and below matters: acq_rel keeps the bit before the flag for whoever
  // clears it.
  if (slab->ready.exchange(true, std::memory_order_acq_rel)) return;
  HeapLock lock(mutex_);
  ThreadCache* cache = slab->cache.load(std::memory_order_relaxed);
  slab->next_ready = cache->ready;
  cache->ready = slab;
}

// A slab in which other threads freed slots, and that is in no list.
Slab* Arena::PopReady(ThreadCache* cache) {
  HeapLock lock(mutex_);
  while (cache->ready != nullptr) {
    Slab* slab = cache->ready;
    cache->ready = slab->next_ready;
    slab->ready.exchange(false, std::memory_order_acq_rel);
    if (!slab->listed) return slab;
  }
  return nullptr;
}

// Makes the slabs of threads that have ended this cache's own.
bool Arena::TakeOverIdle(ThreadCache* cache) {
  HeapLock lock(mutex_);
  ThreadCache* idle = idle_;
  if (idle == nullptr) return false;
  idle_ = idle->next_idle;
  if (idle->bits != 0) idle->current->free_bits[idle->word] |= idle->bits;
  while (idle->owned != nullptr) {
    Slab* slab = idle->owned;
    idle->owned = slab->next_owned;
    slab->cache.store(cache, std::memory_order_relaxed);
    slab->next_owned = cache->owned;
    cache->owned = slab;
    slab->listed = true;
    slab->next_available = cache->available;
    cache->available = slab;
  }
  while (idle->ready != nullptr) {
    Slab* slab = idle->ready;
    idle->ready = slab->next_ready;
    slab->next_ready = cache->ready;
    cache->ready = slab;
  }
  delete idle;
  return true;
}

Slab* Arena::NewSlab(ThreadCache* cache) {
  void* memory = MapSlab();
  if (memory == nullptr) return nullptr;
  // How many slots fit behind header, marks and the two bitmaps.
  std::size_t count = (kSlabBytes - sizeof(Slab)) / slot_bytes_;
  std::size_t words, bits_at, slots_at;
  while (true) {
    words = (count + 63) / 64;
    bits_at = RoundUp(sizeof(Slab) + count * sizeof(Mark), 64);
    slots_at = RoundUp(bits_at + 2 * words * sizeof(std::uint64_t),
                       std::max<std::size_t>(slot_alignment_, 64));
    if (slots_at + count * slot_bytes_ <= kSlabBytes) break;
    --count;
  }
  Slab* slab = ::new (memory) Slab();
  slab->owner_class = owner_;
  slab->first_slot = static_cast<char*>(memory) + slots_at;
  slab->slot_bytes = static_cast<std::uint32_t>(slot_bytes_);
  slab->reciprocal = static_cast<std::uint32_t>(
      ((std::uint64_t{1} << 32) + slot_bytes_ - 1) / slot_bytes_);
  slab->slot_count = static_cast<std::uint32_t>(count);
  slab->word_count = static_cast<std::uint32_t>(words);
  slab->arena_id = id_;
  slab->arena = this;
  slab->free_bits =
      reinterpret_cast<std::uint64_t*>(static_cast<char*>(memory) + bits_at);
  slab->remote_bits =
      reinterpret_cast<std::atomic<std::uint64_t>*>(slab->free_bits + words);
  for (std::size_t i = 0; i < count; ++i) {
    slab->free_bits[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  slab->cache.store(cache, std::memory_order_relaxed);
  PoisonMemory(slab->first_slot, count * slot_bytes_);
#ifdef INSTAR_HEAP_ASAN
  __lsan_register_root_region(memory, kSlabBytes);
#endif
  HeapLock lock(mutex_);
  slab->next_owned = cache->owned;
  cache->owned = slab;
  slab->next_in_class = slabs_.load(std::memory_order_relaxed);
  // Partner: first_slab().
  slabs_.store(slab, std::memory_order_release);
  return slab;
}

ThreadCache* Arena::AcquireCache() {
  {
    HeapLock lock(mutex_);
    if (idle_ != nullptr) {
      ThreadCache* cache = idle_;
      idle_ = cache->next_idle;
      return cache;
    }
  }
  ThreadCache* cache = new ThreadCache;
  cache->slot_bytes = static_cast<std::uint32_t>(slot_bytes_);
  return cache;
}

void Arena::ReleaseCache(ThreadCache* cache) {
  HeapLock lock(mutex_);
  cache->next_idle = idle_;
  idle_ = cache;
}

void LockSlabsForFork() { range_mutex.lock(); }

void UnlockSlabsAfterFork() { range_mutex.unlock(); }

void SetSlabBudgetForTesting(std::int64_t slabs) {
  HeapLock lock(range_mutex);
  slab_budget = slabs;
}

#ifdef INSTAR_HEAP_ASAN
void PoisonMemory(const void* begin, std::size_t size) {
  ASAN_POISON_MEMORY_REGION(begin, size);
}
void UnpoisonMemory(const void* begin, std::size_t size) {
  ASAN_UNPOISON_MEMORY_REGION(begin, size);
}
#endif

}  // namespace heap_internal
}  // namespace instar
