// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/thread_state.h"

#include <set>
#include <utility>

#include "gtest/gtest.h"

namespace instar {
namespace {

using State = ThreadState;

// Written out once more, move by move: what the table must say, no more and no
// less.
TEST(ThreadStateTest, MovesAreThoseOfTheTable) {
  const std::set<std::pair<State, State>> moves = {
      {State::kNew, State::kRunning},
      {State::kNew, State::kHeld},
      {State::kRunning, State::kAtUpdatePoint},
      {State::kRunning, State::kBlocked},
      {State::kRunning, State::kEnded},
      {State::kAtUpdatePoint, State::kRunning},
      {State::kAtUpdatePoint, State::kInUpdateFunction},
      {State::kAtUpdatePoint, State::kHeld},
      {State::kAtUpdatePoint, State::kRebooting},
      {State::kInUpdateFunction, State::kAtUpdatePoint},
      {State::kInUpdateFunction, State::kBlocked},
      {State::kBlocked, State::kRunning},
      {State::kBlocked, State::kInUpdateFunction},
      {State::kBlocked, State::kHeld},
      {State::kBlocked, State::kRebooting},
      {State::kHeld, State::kRunning},
      {State::kHeld, State::kAtUpdatePoint},
      {State::kHeld, State::kInUpdateFunction},
      {State::kHeld, State::kRebooting},
      {State::kRebooting, State::kRunning},
      {State::kRebooting, State::kAtUpdatePoint},
      {State::kRebooting, State::kBlocked},
  };
  for (int from = 0; from < kThreadStates; ++from) {
    for (int to = 0; to < kThreadStates; ++to) {
      const auto move =
          std::make_pair(static_cast<State>(from), static_cast<State>(to));
      EXPECT_EQ(IsMove(move.first, move.second), moves.count(move) == 1)
          << ToString(move.first) << " to " << ToString(move.second);
    }
  }
}

TEST(ThreadStateTest, StoppedRunsNothing) {
  EXPECT_TRUE(IsStopped(State::kNew));
  EXPECT_TRUE(IsStopped(State::kBlocked));
  EXPECT_TRUE(IsStopped(State::kHeld));
  EXPECT_TRUE(IsStopped(State::kEnded));
  EXPECT_FALSE(IsStopped(State::kRunning));
  EXPECT_FALSE(IsStopped(State::kAtUpdatePoint));
  EXPECT_FALSE(IsStopped(State::kInUpdateFunction));
  EXPECT_FALSE(IsStopped(State::kRebooting));
}

}  // namespace
}  // namespace instar
