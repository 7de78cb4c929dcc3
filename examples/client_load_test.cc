// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the checker of the loads must see.

#include "examples/client_load.h"

#include <chrono>
#include <vector>

#include "gtest/gtest.h"

namespace site_manager {
namespace {

Answered At(int sent, int received, bool with_ratings) {
  const std::chrono::steady_clock::time_point zero;
  return {zero + std::chrono::seconds(sent),
          zero + std::chrono::seconds(received), with_ratings};
}

TEST(FewestChangesTest, NoneWithoutRatings) {
  EXPECT_EQ(FewestChanges({}), 0);
  EXPECT_EQ(FewestChanges({At(1, 2, false), At(3, 4, false)}), 0);
}

TEST(FewestChangesTest, OneForEachUpdateAndUndo) {
  EXPECT_EQ(FewestChanges({At(1, 2, false), At(3, 4, true)}), 1);
  EXPECT_EQ(FewestChanges({At(3, 4, true)}), 1);
  EXPECT_EQ(FewestChanges({At(5, 6, false), At(1, 2, false), At(3, 4, true)}),
            2);
  EXPECT_EQ(FewestChanges({At(1, 2, false), At(3, 4, true), At(5, 6, false),
                           At(7, 8, true), At(7, 9, true)}),
            3);
}

// Under way at the same time: either may have been done first.
TEST(FewestChangesTest, AnswersThatOverlapMayHaveAnyOrder) {
  EXPECT_EQ(FewestChanges({At(1, 9, false), At(2, 3, true)}), 1);
  EXPECT_EQ(FewestChanges({At(1, 9, true), At(2, 3, false)}), 1);
  EXPECT_EQ(FewestChanges({At(1, 4, false), At(2, 5, true), At(3, 6, false),
                           At(3, 7, true)}),
            1);
}

// An old answer to a command that was sent when a new answer had arrived.
TEST(FewestChangesTest, SeesAMixture) {
  EXPECT_EQ(FewestChanges({At(1, 2, false), At(3, 4, true), At(5, 6, false),
                           At(7, 8, true)}),
            3);
  EXPECT_EQ(FewestChanges({At(1, 5, true), At(6, 9, false), At(7, 20, true)}),
            2);
}

}  // namespace
}  // namespace site_manager
