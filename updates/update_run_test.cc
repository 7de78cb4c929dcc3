// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/update_run.h"

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using testing::HasSubstr;

// Steps that say what was done with them, and what they answer.
struct Steps {
  static constexpr std::size_t kCount = 3;

  absl::Status Run(Direction direction) {
    ApplyOptions options;
    options.timeout = std::chrono::milliseconds(20);
    return run.RunSteps(direction, options, kCount,
                        [&](Direction to, std::size_t i) {
                          return Try(to == Direction::kApply, i);
                        });
  }
  Attempt Try(bool applies, std::size_t i) {
    const std::string what = absl::StrCat(applies ? "" : "-", i);
    absl::StrAppend(&log, what, " ");
    if (what == cancels) run.Cancel();
    if (what == fails) return Attempt::Failed(error);
    if (what == also_fails) return Attempt::Failed(absl::AbortedError("also"));
    if (what == waits) return Attempt::NotYet("it is active");
    if (what == waits_once) {
      waits_once.clear();
      return Attempt::NotYet("it is active");
    }
    return Attempt::Done();
  }

  UpdateRun run{"steps"};
  std::string log;
  std::string fails, also_fails, waits, waits_once, cancels;
  absl::Status error = absl::InternalError("no");
};

TEST(UpdateRunTest, StepsAndBack) {
  Steps steps;
  EXPECT_TRUE(absl::IsFailedPrecondition(steps.Run(Direction::kUndo)));
  EXPECT_EQ(steps.log, "");
  steps.waits_once = "1";
  EXPECT_EQ(steps.Run(Direction::kApply), absl::OkStatus());
  EXPECT_EQ(steps.log, "0 1 1 2 ");
  EXPECT_EQ(steps.run.Progress().attempts, 4);
  EXPECT_EQ(steps.run.phase(), UpdatePhase::kApplied);
  EXPECT_TRUE(absl::IsFailedPrecondition(steps.Run(Direction::kApply)));
  steps.log.clear();
  EXPECT_EQ(steps.Run(Direction::kUndo), absl::OkStatus());
  EXPECT_EQ(steps.log, "-2 -1 -0 ");
  EXPECT_EQ(steps.run.phase(), UpdatePhase::kPrepared);
}

TEST(UpdateRunTest, WhatFailsIsTakenBack) {
  Steps steps;
  steps.fails = "2";
  steps.waits_once = "-0";
  EXPECT_EQ(steps.Run(Direction::kApply), steps.error);
  EXPECT_EQ(steps.log, "0 1 2 -1 -0 -0 ");
  EXPECT_EQ(steps.run.phase(), UpdatePhase::kPrepared);
  steps.log = steps.fails = "";
  EXPECT_EQ(steps.Run(Direction::kApply), absl::OkStatus());
  steps.log.clear();
  steps.fails = "-0";
  EXPECT_EQ(steps.Run(Direction::kUndo), steps.error);
  EXPECT_EQ(steps.log, "-2 -1 -0 1 2 ");
  EXPECT_EQ(steps.run.phase(), UpdatePhase::kApplied);
}

// Nobody waits for it any more; what was done is taken back all the same.
TEST(UpdateRunTest, WhatIsCancelledIsTakenBack) {
  Steps steps;
  steps.cancels = "1";
  EXPECT_TRUE(absl::IsCancelled(steps.Run(Direction::kApply)));
  EXPECT_EQ(steps.log, "0 1 -1 -0 ");
  EXPECT_EQ(steps.run.phase(), UpdatePhase::kPrepared);
}

TEST(UpdateRunTest, TheTimeIsUp) {
  Steps steps;
  steps.waits = "1";
  const absl::Status status = steps.Run(Direction::kApply);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("it is active"));
  EXPECT_THAT(steps.log, testing::EndsWith("1 -0 "));
  EXPECT_EQ(steps.run.phase(), UpdatePhase::kPrepared);
}

TEST(UpdateRunTest, WhatCannotBeTakenBack) {
  Steps steps;
  steps.fails = "2";
  steps.also_fails = "-1";
  const absl::Status status = steps.Run(Direction::kApply);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_EQ(status.message(),
            "no; what had been done could not be taken back: also");
  EXPECT_EQ(steps.run.phase(), UpdatePhase::kBroken);
  EXPECT_TRUE(absl::IsFailedPrecondition(steps.Run(Direction::kApply)));
}

// A step that is half done.
TEST(UpdateRunTest, AStepWhoseStateIsUnknown) {
  Steps steps;
  steps.fails = "1";
  steps.error = absl::DataLossError("half done");
  EXPECT_EQ(steps.Run(Direction::kApply), steps.error);
  EXPECT_EQ(steps.log, "0 1 -0 ");
  EXPECT_EQ(steps.run.phase(), UpdatePhase::kBroken);
}

}  // namespace
}  // namespace instar
