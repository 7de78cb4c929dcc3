// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A mutex of four bytes, of which a thread may own as many as it likes:
// ThreadSanitizer aborts a program in which one thread owns more than 64
// mutexes of the system's, and around fork() all of a kind are taken. Use with
// std::lock_guard. Internal.
//
// Threads: as std::mutex; it has no owner, so that the child of a fork() may
// unlock what its parent locked. Memory order: unlock() is a release, with
// which the acquire of the next lock() pairs.

#ifndef INSTAR_BASE_SMALL_MUTEX_H_
#define INSTAR_BASE_SMALL_MUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace instar {

class SmallMutex {
 public:
  constexpr SmallMutex() = default;
  SmallMutex(const SmallMutex&) = delete;
  SmallMutex& operator=(const SmallMutex&) = delete;

  void lock() {
    std::uint32_t found = kFree;
    if (!word_.compare_exchange_strong(found, kTaken, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
      LockSlowly();
    }
  }
  bool try_lock() {
    std::uint32_t found = kFree;
    return word_.compare_exchange_strong(
        found, kTaken, std::memory_order_acquire, std::memory_order_relaxed);
  }
  void unlock() {
    if (word_.exchange(kFree, std::memory_order_release) == kWaitedFor) {
      Call(FUTEX_WAKE_PRIVATE, 1);
    }
  }

 private:
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kTaken = 1;
  static constexpr std::uint32_t kWaitedFor = 2;  // taken, and others wait

  __attribute__((noinline)) void LockSlowly() {
    // Whoever has waited takes it for waited for: others may still be there.
    while (word_.exchange(kWaitedFor, std::memory_order_acquire) != kFree) {
      Call(FUTEX_WAIT_PRIVATE, kWaitedFor);
    }
  }
  // Keeps errno: operator delete comes here, too.
  void Call(int operation, std::uint32_t value) {
    const int saved_errno = errno;
    syscall(SYS_futex, &word_, operation, value, nullptr, nullptr, 0);
    errno = saved_errno;
  }

  std::atomic<std::uint32_t> word_{kFree};
};

}  // namespace instar

#endif  // INSTAR_BASE_SMALL_MUTEX_H_
