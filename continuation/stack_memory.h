// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Memory for stacks: mapped with a guard below, pooled when given back.
//
//   absl::StatusOr<StackMemory> stack = StackMemory::Take(64 << 10);
//   if (!stack.ok()) return stack.status();
//   Run(stack->low(), stack->high());
//
// Layout, from low to high addresses: a guard of kStackGuardSize bytes that
// cannot be read nor written, the usable stack [low(), high()), and up to
// kStackColors * kStackColorSize bytes that are left unused so that the ends of
// different stacks do not all fall into the same sets of the processor's cache.
//
// Pooling: a stack that is given back waits in a cache of the calling thread
// (up to kStacksCachedPerThread stacks of one size), then in a pool of the
// process (up to kStackBytesPooled bytes, of which all but the last 16 KiB of
// each stack are given back to the system), and is unmapped beyond that. What a
// stack holds when it is taken is unspecified.
//
// Lifetime: a StackMemory owns its stack and gives it back when destroyed.
// Threads: any thread may take and give back any stack. Not async-signal-safe.
// Errors: RESOURCE_EXHAUSTED when the system refuses the mapping. Linux allows
// a process 65,530 mappings by default (vm.max_map_count), and each stack takes
// two.

#ifndef INSTAR_CONTINUATION_STACK_MEMORY_H_
#define INSTAR_CONTINUATION_STACK_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/statusor.h"
#include "continuation/internal/sanitizers.h"

namespace instar {

inline constexpr std::size_t kDefaultStackSize = 128 << 10;  // bytes
inline constexpr std::size_t kMinimumStackSize = 16 << 10;   // bytes
inline constexpr std::size_t kStackGuardSize = 64 << 10;     // bytes
inline constexpr std::size_t kStackColors = 16;
inline constexpr std::size_t kStackColorSize = 256;  // bytes
inline constexpr std::size_t kStacksCachedPerThread = 16;
inline constexpr std::size_t kStackBytesPooled = 64 << 20;  // bytes

namespace continuation_internal {

struct PooledStack {
  std::uintptr_t low;
  std::uintptr_t high;
  std::size_t size;  // bytes, as it was asked for, rounded up to pages
};

// The calling thread's cache. All its stacks have the same size, which is that
// of the first one to enter when it is empty.
struct StackCache {
  PooledStack stacks[kStacksCachedPerThread];
  std::size_t count;
  std::size_t capacity;  // 0 before the thread's first stack and while it ends
};

extern __thread StackCache stack_cache ABSL_ATTRIBUTE_INITIAL_EXEC;

constexpr std::size_t RoundedStackSize(std::size_t size) {
  // Of the smallest pages; where they are larger, the kernel rounds up.
  constexpr std::size_t kUnit = 4096;
  return ((size < kMinimumStackSize ? kMinimumStackSize : size) + kUnit - 1) &
         ~(kUnit - 1);
}

absl::StatusOr<PooledStack> TakeStackFromPool(std::size_t size);
void ReturnStackToPool(const PooledStack& stack);

}  // namespace continuation_internal

class StackMemory {
 public:
  // Owns nothing.
  StackMemory() = default;

  // A stack of at least `size` bytes; less than kMinimumStackSize becomes that.
  ABSL_ATTRIBUTE_ALWAYS_INLINE static absl::StatusOr<StackMemory> Take(
      std::size_t size = kDefaultStackSize) {
    using continuation_internal::PooledStack;
    PooledStack bounds;
    if (TakeCached(size, &bounds)) return StackMemory(bounds);
    absl::StatusOr<PooledStack> mapped =
        continuation_internal::TakeStackFromPool(size);
    if (!mapped.ok()) return std::move(mapped).status();
    return StackMemory(*mapped);
  }

  // As Take(), from the calling thread's cache alone: owns nothing if there is
  // no stack of that size.
  ABSL_ATTRIBUTE_ALWAYS_INLINE static StackMemory TakeCached(
      std::size_t size = kDefaultStackSize) {
    continuation_internal::PooledStack bounds;
    return TakeCached(size, &bounds) ? StackMemory(bounds) : StackMemory();
  }

  ABSL_ATTRIBUTE_ALWAYS_INLINE StackMemory(StackMemory&& other) noexcept
      : bounds_(std::exchange(other.bounds_, {})) {}
  StackMemory& operator=(StackMemory&& other) noexcept {
    std::swap(bounds_, other.bounds_);
    return *this;
  }

  ABSL_ATTRIBUTE_ALWAYS_INLINE ~StackMemory() {
    if (bounds_.size != 0) GiveBack();
  }

  bool empty() const { return bounds_.size == 0; }
  std::uintptr_t low() const { return bounds_.low; }    // a multiple of 4096
  std::uintptr_t high() const { return bounds_.high; }  // a multiple of 64
  // The guard lies in [guard_low(), low()).
  std::uintptr_t guard_low() const { return bounds_.low - kStackGuardSize; }

 private:
  explicit StackMemory(const continuation_internal::PooledStack& bounds)
      : bounds_(bounds) {}

  ABSL_ATTRIBUTE_ALWAYS_INLINE static bool TakeCached(
      std::size_t size, continuation_internal::PooledStack* bounds) {
    continuation_internal::StackCache& cache =
        continuation_internal::stack_cache;
    if (ABSL_PREDICT_FALSE(cache.count == 0)) return false;
    *bounds = cache.stacks[cache.count - 1];
    if (ABSL_PREDICT_FALSE(bounds->size !=
                           continuation_internal::RoundedStackSize(size))) {
      return false;
    }
    --cache.count;
    continuation_internal::AllowAccess(bounds->low, bounds->high);
    return true;
  }

  ABSL_ATTRIBUTE_ALWAYS_INLINE void GiveBack() {
    continuation_internal::StackCache& cache =
        continuation_internal::stack_cache;
    if (ABSL_PREDICT_TRUE(
            cache.count < cache.capacity &&
            (cache.count == 0 || cache.stacks[0].size == bounds_.size))) {
      continuation_internal::ForbidAccess(bounds_.low, bounds_.high);
      cache.stacks[cache.count++] = bounds_;
    } else {
      continuation_internal::ReturnStackToPool(bounds_);
    }
  }

  continuation_internal::PooledStack bounds_ = {};
};

// How many stacks there are, for tests and for status reports.
struct StackPoolStats {
  std::size_t mapped = 0;  // in use, cached by threads, or in the pool
  std::size_t pooled = 0;  // in the pool of the process
};
StackPoolStats GetStackPoolStats();

}  // namespace instar

#endif  // INSTAR_CONTINUATION_STACK_MEMORY_H_
