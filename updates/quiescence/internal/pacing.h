// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How attempts to find a safe moment follow each other. Each of them stops
// threads, most of them for nothing: that must not be felt. So threads are
// stopped for at most a given part of any second, whatever the attempts find:
// the first ones follow each other quickly, and when the part is used up, later
// ones wait for it. Where threads need longer to stop than an attempt may wait,
// the next one may wait longer; one that may take more than the part of a
// second is paid for before, so that of the whole time, too, threads are
// stopped for no more than that part.
//
//   Pacing pacing;
//   while (true) {
//     const auto begin = Pacing::Clock::now();
//     ... one attempt, which waits for threads for at most pacing.limit() ...
//     pacing.Note(begin, Pacing::Clock::now(), /*was_too_short=*/...);
//     wait until pacing.next();
//   }
//
// Internal to this package.
//
// Threads: used by one. Nothing here allocates but the constructor.

#ifndef INSTAR_UPDATES_QUIESCENCE_INTERNAL_PACING_H_
#define INSTAR_UPDATES_QUIESCENCE_INTERNAL_PACING_H_

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <utility>

namespace instar {
namespace updates_internal {

// For how long threads are waited for at least, however little time is left: at
// least one attempt is a fair one.
inline constexpr std::chrono::milliseconds kFairLimit(10);

// The pauses between attempts that stop nobody, or are paced elsewhere: each
// twice as long as the one before, up to the last.
class Pauses {
 public:
  using Duration = std::chrono::nanoseconds;
  static constexpr Duration kFirst = std::chrono::microseconds(200);
  static constexpr Duration kLast = std::chrono::milliseconds(4);

  explicit Pauses(Duration first = kFirst, Duration last = kLast)
      : next_(first), last_(last) {}

  Duration Next() { return std::exchange(next_, std::min(2 * next_, last_)); }

 private:
  Duration next_;
  Duration last_;
};

class Pacing {
 public:
  using Clock = std::chrono::steady_clock;
  using Duration = std::chrono::nanoseconds;

  struct Options {
    // For how long threads are waited for while others are stopped; doubled,
    // up to the last, by an attempt to which that was too short.
    Duration first_limit = std::chrono::milliseconds(10);
    Duration last_limit = std::chrono::milliseconds(10);
    // Between attempts, doubled each time.
    Duration first_pause = Pauses::kFirst;
    Duration last_pause = Pauses::kLast;
    // For how long threads are stopped in any second. An attempt that took more
    // is followed by a pause in proportion, and so it is before one that may
    // take more because those before it were too short.
    Duration per_second = std::chrono::milliseconds(20);
  };

  Pacing();
  explicit Pacing(const Options& options);

  // Of the next attempt.
  Duration limit() const { return limit_; }
  // An attempt has stopped threads from `begin` to `end`.
  void Note(Clock::time_point begin, Clock::time_point end, bool was_too_short);
  // When the next attempt may begin; the clock's epoch before the first.
  Clock::time_point next() const { return next_; }

 private:
  struct Stop {
    Clock::time_point end;
    Duration length{0};
  };
  // More than fit into a second at pauses of last_pause.
  static constexpr std::size_t kRemembered = 512;

  // How long threads were stopped by what ended after `after`.
  Duration StoppedSince(Clock::time_point after) const;

  const Options options_;
  Duration limit_;
  Pauses pauses_;
  Clock::time_point next_{};
  std::array<Stop, kRemembered> stops_;  // a ring; a length of 0 is none
  std::size_t last_ = 0;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_INTERNAL_PACING_H_
