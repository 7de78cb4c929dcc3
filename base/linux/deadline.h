// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// When a time limit ends. Limits come from users, who write
// nanoseconds::max() for "for ever", and from clients: nothing here overflows.
//
//   const auto until = DeadlineAfter(limit);
//   condition.wait_until(lock, until);
//
// Threads: any. Async-signal-safe; allocates nothing.

#ifndef INSTAR_BASE_LINUX_DEADLINE_H_
#define INSTAR_BASE_LINUX_DEADLINE_H_

#include <time.h>

#include <chrono>

namespace instar {

// The longest time that a limit counts for: some 146 years. Half of what the
// clock can say, so that callers may add to a deadline what they like.
inline constexpr std::chrono::nanoseconds kLongestLimit =
    std::chrono::nanoseconds::max() / 2;

// `begin` + `limit`, at most kLongestLimit after the clock's epoch. A limit
// that is not positive has passed already.
inline std::chrono::steady_clock::time_point DeadlineAfter(
    std::chrono::steady_clock::time_point begin,
    std::chrono::nanoseconds limit) {
  using TimePoint = std::chrono::steady_clock::time_point;
  if (limit <= std::chrono::nanoseconds::zero()) return begin;
  const TimePoint last(kLongestLimit);
  return begin >= last || limit >= last - begin ? last : begin + limit;
}

inline std::chrono::steady_clock::time_point DeadlineAfter(
    std::chrono::nanoseconds limit) {
  return DeadlineAfter(std::chrono::steady_clock::now(), limit);
}

// As system calls take it that wait by CLOCK_MONOTONIC, which is what
// steady_clock reads.
inline timespec ToTimespec(std::chrono::steady_clock::time_point when) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(
                         when.time_since_epoch())
                         .count();
  timespec time;
  time.tv_sec = static_cast<time_t>(since / 1000000000);
  time.tv_nsec = static_cast<long>(since % 1000000000);
  return time;
}

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_DEADLINE_H_
