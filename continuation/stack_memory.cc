// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/stack_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/at_fork.h"

namespace instar {
namespace continuation_internal {

__thread StackCache stack_cache ABSL_ATTRIBUTE_INITIAL_EXEC;

namespace {

// What stays resident of a stack in the pool: the end where the next user
// begins.
constexpr std::size_t kResidentBytes = 16 << 10;
// The user half of the address space (47 bits); keeps sums from overflowing.
constexpr std::size_t kMaximumStackSize = std::size_t{1} << 47;
// Added to each mapping so that the colored end can be left unused.
constexpr std::size_t kColorBytes = kStackColors * kStackColorSize;

std::size_t MappedBytes(std::size_t size) {
  return kStackGuardSize + size + kColorBytes;
}

absl::Status Refused(std::size_t size, int error) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "cannot map a stack of ", size, " bytes: ", std::strerror(error),
      ". Each stack takes two mappings of the process; vm.max_map_count "
      "limits their number, ulimit -v their size."));
}

class StackPool {
 public:
  absl::StatusOr<PooledStack> Take(std::size_t size) {
    std::size_t color;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (auto found = stacks_.find(size);
          found != stacks_.end() && !found->second.empty()) {
        const PooledStack stack = found->second.back();
        found->second.pop_back();
        --stats_.pooled;
        pooled_bytes_ -= size;
        return stack;
      }
      color = next_color_++ % kStackColors;
      ++stats_.mapped;
    }
    absl::StatusOr<PooledStack> stack = Map(size, color);
    if (!stack.ok()) {
      std::lock_guard<std::mutex> lock(mutex_);
      --stats_.mapped;
    }
    return stack;
  }

  void Return(const PooledStack& stack) {
    // What is given back to the system reads as zero when it is used again.
    madvise(reinterpret_cast<void*>(stack.low), stack.size - kResidentBytes,
            MADV_DONTNEED);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (pooled_bytes_ + stack.size <= kStackBytesPooled) {
        pooled_bytes_ += stack.size;
        ++stats_.pooled;
        stacks_[stack.size].push_back(stack);
        return;
      }
      --stats_.mapped;
    }
    munmap(reinterpret_cast<void*>(stack.low - kStackGuardSize),
           MappedBytes(stack.size));
  }

  // Around fork(), so that the child finds the pool whole and unlocked.
  void Lock() { mutex_.lock(); }
  void Unlock() { mutex_.unlock(); }

  StackPoolStats Stats() {
    std::lock_guard<std::mutex> lock(mutex_);
    return stats_;
  }

 private:
  static absl::StatusOr<PooledStack> Map(std::size_t size, std::size_t color) {
    void* mapping = mmap(nullptr, MappedBytes(size), PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (mapping == MAP_FAILED) return Refused(size, errno);
    const std::uintptr_t low =
        reinterpret_cast<std::uintptr_t>(mapping) + kStackGuardSize;
    if (mprotect(reinterpret_cast<void*>(low), size + kColorBytes,
                 PROT_READ | PROT_WRITE) != 0) {
      const int error = errno;
      munmap(mapping, MappedBytes(size));
      return Refused(size, error);
    }
    return PooledStack{low, low + size + color * kStackColorSize, size};
  }

  std::mutex mutex_;
  absl::flat_hash_map<std::size_t, std::vector<PooledStack>> stacks_;
  std::size_t pooled_bytes_ = 0;
  std::size_t next_color_ = 0;
  StackPoolStats stats_;
};

// Never destroyed: threads may end after the destructors of globals have run.
StackPool& Pool() {
  static StackPool& pool = *new StackPool;
  return pool;
}

[[gnu::constructor]] void RegisterForkHandlers() {
  Pool();  // so that no fork() comes in the middle of its making
  SetForkHandlers(ForkOrder::kStacks,
                  {[] { Pool().Lock(); }, [] { Pool().Unlock(); },
                   [] { Pool().Unlock(); }});
}

// Empties the thread's cache when the thread ends.
struct StackCacheOwner {
  ~StackCacheOwner() {
    stack_cache.capacity = 0;  // what comes later goes to the pool
    while (stack_cache.count > 0) {
      ReturnStackToPool(stack_cache.stacks[--stack_cache.count]);
    }
  }
  bool alive = false;
};

thread_local StackCacheOwner stack_cache_owner;

}  // namespace

absl::StatusOr<PooledStack> TakeStackFromPool(std::size_t size) {
  if (!stack_cache_owner.alive) {  // the thread's first stack
    stack_cache_owner.alive = true;
    stack_cache.capacity = kStacksCachedPerThread;
  }
  if (size > kMaximumStackSize) return Refused(size, ENOMEM);
  absl::StatusOr<PooledStack> stack = Pool().Take(RoundedStackSize(size));
  if (stack.ok()) AllowAccess(stack->low, stack->high);
  return stack;
}

void ReturnStackToPool(const PooledStack& stack) {
  // Unmapped memory may come back for any purpose, and the pool is out of reach
  // of stray pointers into a thread's last stacks: nothing stays forbidden.
  AllowAccess(stack.low, stack.high);
  Pool().Return(stack);
}

}  // namespace continuation_internal

StackPoolStats GetStackPoolStats() {
  return continuation_internal::Pool().Stats();
}

}  // namespace instar
