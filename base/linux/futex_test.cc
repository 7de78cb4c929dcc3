// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/futex.h"

#include <errno.h>

#include <chrono>
#include <thread>

#include "base/linux/deadline.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(FutexTest, DoesNotWaitIfTheWordHasChanged) {
  std::atomic<std::uint32_t> word(1);
  EXPECT_TRUE(FutexWait(&word, 0));
}

TEST(FutexTest, ALimitPasses) {
  std::atomic<std::uint32_t> word(0);
  errno = 7;
  const auto until = DeadlineAfter(std::chrono::milliseconds(1));
  while (FutexWait(&word, 0, &until)) {
  }
  EXPECT_GE(std::chrono::steady_clock::now(), until);
  EXPECT_EQ(errno, 7);
}

TEST(FutexTest, IsWokenAlsoUnderTheLongestLimit) {
  std::atomic<std::uint32_t> word(0);
  std::thread other([&word] {
    word.store(1, std::memory_order_release);
    FutexWakeAll(&word);
  });
  const auto until = DeadlineAfter(std::chrono::nanoseconds::max());
  while (word.load(std::memory_order_acquire) == 0) {
    EXPECT_TRUE(FutexWait(&word, 0, &until));
  }
  other.join();
}

}  // namespace
}  // namespace instar
