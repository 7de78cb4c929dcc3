// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/internal/pacing.h"

#include <chrono>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

using TimePoint = Pacing::Clock::time_point;

TEST(PausesTest, EachIsTwiceTheOneBeforeUpToTheLast) {
  Pauses pauses(microseconds(3), microseconds(20));
  for (const int expected : {3, 6, 12, 20, 20}) {
    EXPECT_EQ(pauses.Next(), microseconds(expected));
  }
  EXPECT_EQ(Pauses().Next(), Pauses::kFirst);
}

// Attempts that each take so long, for a while, on a clock of the test's.
struct Simulation {
  Simulation(const Pacing::Options& options, nanoseconds each,
             bool is_too_short) {
    Pacing pacing(options);
    TimePoint now = TimePoint() + std::chrono::hours(1);
    const TimePoint until =
        now + (each < milliseconds(1) ? seconds(5) : seconds(60));
    while (now < until) {
      const nanoseconds took =
          is_too_short ? std::min(each, pacing.limit()) : each;
      pacing.Note(now, now + took, is_too_short);
      stops.emplace_back(now, now + took);
      EXPECT_GT(pacing.next(), now + took);
      now = pacing.next();
    }
  }

  // The most of any second in which threads were stopped.
  nanoseconds MostOfASecond() const {
    nanoseconds most{0};
    for (const auto& last : stops) {
      const TimePoint from = last.second - seconds(1);
      nanoseconds stopped{0};
      for (const auto& [begin, end] : stops) {
        if (end <= from || begin >= last.second) continue;
        stopped += std::min(end, last.second) - std::max(begin, from);
      }
      most = std::max(most, stopped);
    }
    return most;
  }

  std::vector<std::pair<TimePoint, TimePoint>> stops;
};

TEST(PacingTest, AtMostAPartOfAnySecond) {
  const Pacing::Options options;
  for (const nanoseconds each :
       {nanoseconds(microseconds(50)), nanoseconds(microseconds(300)),
        nanoseconds(milliseconds(3)), nanoseconds(milliseconds(7)),
        nanoseconds(milliseconds(10)), nanoseconds(milliseconds(19)),
        nanoseconds(milliseconds(20))}) {
    const Simulation simulation(options, each, /*is_too_short=*/false);
    EXPECT_LE(simulation.MostOfASecond(), options.per_second)
        << each.count() << " ns";
    EXPECT_GE(simulation.stops.size(), 50u) << each.count() << " ns";
  }
}

TEST(PacingTest, WhatTookLongIsPaidFor) {
  const Simulation simulation({}, milliseconds(100), /*is_too_short=*/false);
  // Five seconds for each.
  EXPECT_GE(simulation.stops.size(), 10u);
  EXPECT_LE(simulation.stops.size(), 13u);
}

TEST(PacingTest, TheFirstFollowEachOtherQuickly) {
  const Simulation simulation({}, microseconds(50), /*is_too_short=*/false);
  for (int i = 1; i < 50; ++i) {
    EXPECT_LE(simulation.stops[i].first - simulation.stops[i - 1].second,
              milliseconds(4));
  }
  EXPECT_EQ(simulation.stops[1].first - simulation.stops[0].second,
            microseconds(200));
}

TEST(PacingTest, LimitsGrowWhenTheyWereTooShort) {
  Pacing::Options options;
  options.last_limit = milliseconds(320);
  Pacing pacing(options);
  EXPECT_EQ(pacing.limit(), milliseconds(10));
  TimePoint now = TimePoint() + std::chrono::hours(1);
  pacing.Note(now, now + microseconds(1), /*was_too_short=*/false);
  EXPECT_EQ(pacing.limit(), milliseconds(10));
  for (const int expected : {20, 40, 80, 160, 320, 320}) {
    pacing.Note(now, now + microseconds(1), /*was_too_short=*/true);
    EXPECT_EQ(pacing.limit(), milliseconds(expected));
  }
}

TEST(PacingTest, ALimitWithoutEndStaysOne) {
  Pacing::Options options;
  options.first_limit = options.last_limit = nanoseconds::max();
  Pacing pacing(options);
  const TimePoint now = TimePoint() + std::chrono::hours(1);
  pacing.Note(now, now + microseconds(1), /*was_too_short=*/true);
  EXPECT_EQ(pacing.limit(), nanoseconds::max());
  // It is tried again some time.
  EXPECT_GT(pacing.next(), now);
  EXPECT_LE(pacing.next(), now + seconds(61));
}

// Threads that share a processor with many need a while to stop.
TEST(PacingTest, AllStopInTheEndAndTheTimeForItIsAfforded) {
  Pacing::Options options;
  options.last_limit = milliseconds(320);
  options.first_pause = options.last_pause = nanoseconds(0);
  options.per_second = milliseconds(100);
  for (const int needed : {5, 15, 30, 70, 150, 300}) {
    Pacing pacing(options);
    const TimePoint begin = TimePoint() + std::chrono::hours(1);
    TimePoint now = begin;
    nanoseconds stopped{0};
    int attempts = 1;
    while (pacing.limit() < milliseconds(needed)) {
      ASSERT_LT(attempts++, 10);
      stopped += pacing.limit();
      const TimePoint end = now + pacing.limit();
      pacing.Note(now, end, /*was_too_short=*/true);
      now = pacing.next();
    }
    stopped += milliseconds(needed);
    now += milliseconds(needed);
    EXPECT_LE(now - begin, seconds(10)) << needed;
    // A tenth of the time, and of the second before.
    EXPECT_LE(10 * stopped, now - begin + seconds(1)) << needed;
  }
}

// It is there, and comes to no point where it could be held.
TEST(PacingTest, WhoNeverStopsCostsTheOthersNoMore) {
  Pacing::Options options;
  options.last_limit = milliseconds(160);
  const Simulation simulation(options, seconds(1), /*is_too_short=*/true);
  nanoseconds stopped{0};
  for (const auto& [begin, end] : simulation.stops) stopped += end - begin;
  EXPECT_LE(50 * stopped, seconds(60 + 8));
  EXPECT_GE(simulation.stops.size(), 8u);
}

}  // namespace
}  // namespace updates_internal
}  // namespace instar
