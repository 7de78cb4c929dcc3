// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/linux/deadline.h"

namespace instar {

bool FutexWait(std::atomic<std::uint32_t>* word, std::uint32_t expected,
               const std::chrono::steady_clock::time_point* limit) {
  const int saved_errno = errno;
  const timespec deadline = limit == nullptr ? timespec{} : ToTimespec(*limit);
  const bool in_time = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE,
                               expected, limit == nullptr ? nullptr : &deadline,
                               nullptr, FUTEX_BITSET_MATCH_ANY) == 0 ||
                       errno != ETIMEDOUT;
  errno = saved_errno;
  return in_time;
}

void FutexWakeAll(std::atomic<std::uint32_t>* word) {
  const int saved_errno = errno;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  errno = saved_errno;
}

}  // namespace instar
