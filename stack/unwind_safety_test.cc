// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/unwind_safety.h"

#include <cstdint>
#include <string>

#include "base/exception_table_cases.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"
#include "stack/testing/walk_cases.h"

namespace instar {
namespace {

using testing::HasSubstr;
using Body = Continulet<int(int)>;

// clang's catch clauses may end in std::terminate:
// base/exception_table_test.cc.
#ifdef __clang__
constexpr bool kExact = false;
#else
constexpr bool kExact = true;
#endif

class UnwindSafetyTest : public testing::TestWithParam<Case> {};

TEST_P(UnwindSafetyTest, OfAPausedContinulet) {
  const Case& test_case = GetParam();
  Body body("body", [&](Body::Self& self, int) {
    Trace trace;
    trace.action = [&] { self.Switch(0); };
    test_case.function(&trace);
    return 1;
  });
  body.Switch(0);
  const UnwindSafety safety =
      CheckUnwindSafety(SnapshotOf(*body.paused_context()));
  if (StopsException(test_case.outcome)) {
    EXPECT_EQ(safety.verdict, UnwindSafety::Verdict::kUnsafe);
    EXPECT_GT(safety.frame.depth, 0);
    EXPECT_THAT(safety.ToString(), HasSubstr("std::terminate"));
  } else if (kExact) {
    EXPECT_TRUE(safety.safe()) << safety.ToString();
    EXPECT_EQ(safety.catch_all_frames,
              test_case.outcome == ExceptionOutcome::kCatchAll ? 1 : 0)
        << safety.ToString();
  }
  // What cannot be unwound is not left paused.
  EXPECT_EQ(body.Switch(0), 1);
}

TEST_P(UnwindSafetyTest, OfTheCallerUpToTheCatcher) {
  const Case& test_case = GetParam();
  UnwindSafety safety;
  Trace trace;
  const auto catcher =
      reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  trace.action = [&] {
    safety = CheckUnwindSafety(SnapshotOfCaller(), catcher);
  };
  test_case.function(&trace);
  if (kExact || StopsException(test_case.outcome)) {
    EXPECT_EQ(safety.safe(), !StopsException(test_case.outcome))
        << safety.ToString();
  }
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Unoptimized, UnwindSafetyTest,
                         testing::ValuesIn(unoptimized::Cases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Optimized, UnwindSafetyTest,
                         testing::ValuesIn(optimized::Cases()), NameOf);

// A body that is safe is unwound indeed.
TEST(UnwindSafetyTest, WhatIsSafeCanBeCancelled) {
  int unwound = 0;
  for (const Case& test_case : optimized::Cases()) {
    if (test_case.fate != Fate::kArrives) continue;
    Body body("body", [&](Body::Self& self, int) {
      Trace trace;
      trace.action = [&] { self.Switch(0); };
      test_case.function(&trace);
      return 1;
    });
    body.Switch(0);
    if (!CheckUnwindSafety(SnapshotOf(*body.paused_context())).safe()) continue;
    EXPECT_TRUE(body.Cancel()) << test_case.name;
    ++unwound;
  }
  EXPECT_GT(unwound, 3);
}

TEST(UnwindSafetyTest, ACatcherThatIsNotOnTheStackIsUnknown) {
  const UnwindSafety safety =
      CheckUnwindSafety(SnapshotOfCaller(), ~std::uintptr_t{0} - 7);
  EXPECT_EQ(safety.verdict, UnwindSafety::Verdict::kUnknown);
}

TEST(UnwindSafetyTest, AStackThatCannotBeWalkedIsUnknown) {
  UnwindSafety safety;
  CallWithoutUnwindInformation(
      [&] { safety = CheckUnwindSafety(SnapshotOfCaller()); });
  EXPECT_NE(safety.verdict, UnwindSafety::Verdict::kSafe);
}

}  // namespace
}  // namespace instar
