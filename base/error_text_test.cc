// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/error_text.h"

#include <string>

#include "absl/status/status.h"
#include "base/no_allocation.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

absl::Status Fail(int number) {
  return ErrorWithText(absl::StatusCode::kUnavailable, "number %d: %s", number,
                       "it is so");
}

TEST(ErrorTextTest, HasItsTextAtOnce) {
  EXPECT_EQ(Fail(1), absl::UnavailableError("number 1: it is so"));
  EXPECT_EQ(WithText(Fail(1)), absl::UnavailableError("number 1: it is so"));
  EXPECT_TRUE(WithText(absl::OkStatus()).ok());
}

TEST(ErrorTextTest, GetsItWhenThreadsRun) {
  absl::Status status, other;
  {
    const NoAllocation others_are_held;
    status = Fail(2);
    other = ErrorWithText(absl::StatusCode::kDataLoss, "worse");
  }
  EXPECT_EQ(status, absl::UnavailableError(""));
  EXPECT_EQ(WithText(status), absl::UnavailableError("number 2: it is so"));
  EXPECT_EQ(WithText(other), absl::DataLossError("worse"));
  // Once.
  EXPECT_EQ(WithText(status), absl::UnavailableError(""));
}

TEST(ErrorTextTest, OneIsAPartOfAnother) {
  absl::Status status;
  {
    const NoAllocation others_are_held;
    const absl::Status cause = Fail(3);
    status = ErrorWithText(absl::StatusCode::kDataLoss, "the cause: %s",
                           TextOf(cause));
  }
  EXPECT_EQ(WithText(status),
            absl::DataLossError("the cause: number 3: it is so"));
  EXPECT_EQ(std::string(TextOf(Fail(4))), "number 4: it is so");
}

TEST(ErrorTextTest, LongOnesAreCut) {
  const std::string text(1000, 'a');
  absl::Status status;
  {
    const NoAllocation others_are_held;
    status = ErrorWithText(absl::StatusCode::kInternal, "%s", text);
  }
  EXPECT_EQ(WithText(status).message(), text.substr(0, 479));
}

}  // namespace
}  // namespace instar
