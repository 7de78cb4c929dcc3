// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/deadline.h"

#include <chrono>

#include "gtest/gtest.h"

namespace instar {
namespace {

using std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;

TEST(DeadlineTest, IsBeginPlusLimit) {
  const TimePoint begin(std::chrono::seconds(5));
  EXPECT_EQ(DeadlineAfter(begin, nanoseconds(7)), begin + nanoseconds(7));
}

TEST(DeadlineTest, DoesNotOverflow) {
  const TimePoint begin(std::chrono::seconds(5));
  for (const nanoseconds limit :
       {nanoseconds::max(), nanoseconds::max() - nanoseconds(1),
        kLongestLimit}) {
    EXPECT_EQ(DeadlineAfter(begin, limit), TimePoint(kLongestLimit));
    EXPECT_GT(DeadlineAfter(limit), std::chrono::steady_clock::now());
  }
  EXPECT_EQ(DeadlineAfter(TimePoint::max(), nanoseconds(1)),
            TimePoint(kLongestLimit));
}

TEST(DeadlineTest, ALimitThatIsNotPositiveHasPassed) {
  const TimePoint begin(std::chrono::seconds(5));
  EXPECT_EQ(DeadlineAfter(begin, nanoseconds(0)), begin);
  EXPECT_EQ(DeadlineAfter(begin, nanoseconds(-1)), begin);
  EXPECT_EQ(DeadlineAfter(begin, nanoseconds::min()), begin);
}

TEST(DeadlineTest, AsTheSystemTakesIt) {
  const timespec time =
      ToTimespec(TimePoint(std::chrono::seconds(3) + nanoseconds(4)));
  EXPECT_EQ(time.tv_sec, 3);
  EXPECT_EQ(time.tv_nsec, 4);
}

}  // namespace
}  // namespace instar
