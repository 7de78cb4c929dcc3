// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/check.h"

#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(CheckTest, HoldsSilentlyAndEvaluatesOnce) {
  int evaluations = 0;
  INSTAR_CHECK(++evaluations == 1) << "never built";
  EXPECT_EQ(evaluations, 1);
}

TEST(CheckTest, MessageIsNotBuiltWhenTheConditionHolds) {
  bool built = false;
  auto describe = [&] {
    built = true;
    return "description";
  };
  INSTAR_CHECK(true) << describe();
  EXPECT_FALSE(built);
}

TEST(CheckDeathTest, NamesFileConditionAndMessage) {
  const int depth = 7;
  EXPECT_DEATH(INSTAR_CHECK(depth < 5) << "depth is " << depth,
               "check_test.cc:[0-9]+: Check failed: depth < 5 depth is 7");
}

TEST(CheckDeathTest, FatalNamesFileAndMessage) {
  EXPECT_DEATH(INSTAR_FATAL() << "no way on", "check_test.cc:[0-9]+: no way");
}

TEST(CheckDeathTest, DebugChecksHoldInDebugBuilds) {
  int evaluations = 0;
  INSTAR_DCHECK(++evaluations == 1);
#ifdef NDEBUG
  EXPECT_EQ(evaluations, 0);
#else
  EXPECT_EQ(evaluations, 1);
  EXPECT_DEATH(INSTAR_DCHECK(evaluations == 2), "evaluations == 2");
#endif
}

}  // namespace
}  // namespace instar
