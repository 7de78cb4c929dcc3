// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/testing/looping.h"

#include <atomic>

#include "gtest/gtest.h"
#include "threads/thread_ref.h"

namespace instar {
namespace {

TEST(LoopingTest, GoesRoundUntilItsEnd) {
  std::atomic<long> calls{0};
  {
    Looping looping("looping", [&] { ++calls; });
    looping.AwaitRounds();
    EXPECT_GE(calls, 2);
    EXPECT_EQ(ControlledThreads("looping").size(), 1u);
    looping.Stop();
    EXPECT_EQ(looping.ref().state(), ThreadState::kEnded);
    EXPECT_EQ(calls, looping.rounds());
  }
  EXPECT_TRUE(ControlledThreads("looping").empty());
}

}  // namespace
}  // namespace instar
