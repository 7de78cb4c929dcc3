// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Locks that fork() does not wait for. Internal.
//
//   static ForkGuarded<std::map<Key, Value>> known;  // no guard of a static
//   const auto access = known.Lock();
//   access->emplace(key, value);
//
// If another thread owns such a lock when a process forks, it is free in the
// child, which learns, when it first takes it, that what it guards may be half
// changed. That suits caches, and locks that are owned for long. What must not
// be lost is guarded by a lock that is taken around fork() (base/at_fork.h).
//
// They need no place in an order, and no initialization: one that is in the
// middle of it when a process forks would never be through with it in the
// child, as the static variables of functions.
//
// Threads: any. A thread that owns one may fork; in the child it owns it until
// it unlocks it, but does not keep others out. Memory order: unlock() is a
// release, with which the acquire of the next lock() pairs.

#ifndef INSTAR_BASE_FORK_MUTEX_H_
#define INSTAR_BASE_FORK_MUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/at_fork.h"

namespace instar {

// For std::lock_guard and std::unique_lock.
class ForkMutex {
 public:
  constexpr ForkMutex() = default;
  ForkMutex(const ForkMutex&) = delete;
  ForkMutex& operator=(const ForkMutex&) = delete;

  void lock() {
    if (!TryTake(kTaken)) LockSlowly();
  }
  bool try_lock() { return TryTake(kTaken); }
  void unlock() {
    if ((word_.exchange(kFree, std::memory_order_release) & kStates) ==
        kWaitedFor) {
      Call(FUTEX_WAKE_PRIVATE, 1);
    }
  }

  // Under the lock: whether a thread that is not in this process owned it, and
  // may have been changing what it guards. True once.
  bool WasLostInFork() { return std::exchange(was_lost_, false); }

 private:
  // In the lowest bits; above them the ForkGeneration() of who took it.
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kTaken = 1;
  static constexpr std::uint32_t kWaitedFor = 2;  // taken, and others wait
  static constexpr std::uint32_t kStates = 3;

  static std::uint32_t OfThisProcess(std::uint32_t state) {
    return ForkGeneration() << 2 | state;
  }
  static bool IsFree(std::uint32_t word) {
    return word == kFree || (word & ~kStates) != OfThisProcess(kFree);
  }

  bool TryTake(std::uint32_t state) {
    std::uint32_t found = word_.load(std::memory_order_relaxed);
    while (IsFree(found)) {
      if (word_.compare_exchange_weak(found, OfThisProcess(state),
                                      std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        was_lost_ = was_lost_ || found != kFree;
        return true;
      }
    }
    return false;
  }

  __attribute__((noinline)) void LockSlowly() {
    // Whoever has waited takes it for waited for: others may still be there.
    while (!TryTake(kWaitedFor)) {
      std::uint32_t found = OfThisProcess(kTaken);
      if (word_.compare_exchange_strong(found, OfThisProcess(kWaitedFor),
                                        std::memory_order_relaxed) ||
          found == OfThisProcess(kWaitedFor)) {
        Call(FUTEX_WAIT_PRIVATE, OfThisProcess(kWaitedFor));
      }
    }
  }
  void Call(int operation, std::uint32_t value) {
    const int saved_errno = errno;
    syscall(SYS_futex, &word_, operation, value, nullptr, nullptr, 0);
    errno = saved_errno;
  }

  std::atomic<std::uint32_t> word_{kFree};
  bool was_lost_ = false;  // under the lock
};

// A T and its lock. The T is made when it is first needed, and made anew in a
// child if it may be half changed; the one before is then left as it is, for
// those who have references into it. It is never destroyed.
template <typename T>
class ForkGuarded {
 public:
  class Access {
   public:
    explicit Access(ForkGuarded* guarded) : guarded_(guarded) {}
    Access(const Access&) = delete;
    ~Access() { guarded_->mutex_.unlock(); }
    T& operator*() const { return *guarded_->value_; }
    T* operator->() const { return guarded_->value_; }

   private:
    ForkGuarded* const guarded_;
  };

  constexpr ForkGuarded() = default;

  Access Lock() {
    mutex_.lock();
    try {
      // Asked in any case, since it is answered once.
      const bool was_lost = mutex_.WasLostInFork();
      if (value_ == nullptr || was_lost) value_ = new T();
    } catch (...) {
      value_ = nullptr;
      mutex_.unlock();
      throw;
    }
    return Access(this);
  }

 private:
  ForkMutex mutex_;
  T* value_ = nullptr;
};

// What is made by whoever needs it first, as a static variable of a function
// is. `make` may be called again in a child.
template <typename T>
class ForkOnce {
 public:
  constexpr ForkOnce() = default;

  template <typename Make>
  const T& Get(Make make) {
    // Release where it is set.
    const T* value = value_.load(std::memory_order_acquire);
    if (value != nullptr) return *value;
    mutex_.lock();
    try {
      value = value_.load(std::memory_order_relaxed);
      if (value == nullptr) {
        value = new T(make());
        value_.store(value, std::memory_order_release);
      }
    } catch (...) {
      mutex_.unlock();
      throw;
    }
    mutex_.unlock();
    return *value;
  }

 private:
  ForkMutex mutex_;
  std::atomic<const T*> value_{nullptr};
};

}  // namespace instar

#endif  // INSTAR_BASE_FORK_MUTEX_H_
