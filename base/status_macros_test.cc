// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/status_macros.h"

#include <memory>
#include <utility>

#include "gtest/gtest.h"

namespace instar {
namespace {

absl::Status Forward(absl::Status status, bool* reached_end) {
  INSTAR_RETURN_IF_ERROR(status);
  *reached_end = true;
  return absl::OkStatus();
}

absl::StatusOr<int> Sum(absl::StatusOr<std::unique_ptr<int>> a,
                        absl::StatusOr<std::unique_ptr<int>> b) {
  INSTAR_ASSIGN_OR_RETURN(const std::unique_ptr<int> first, std::move(a));
  INSTAR_ASSIGN_OR_RETURN(const std::unique_ptr<int> second, std::move(b));
  return *first + *second;
}

TEST(StatusMacrosTest, ReturnIfErrorStopsAtAnError) {
  bool reached_end = false;
  EXPECT_EQ(Forward(absl::NotFoundError("gone"), &reached_end),
            absl::NotFoundError("gone"));
  EXPECT_FALSE(reached_end);
  EXPECT_TRUE(Forward(absl::OkStatus(), &reached_end).ok());
  EXPECT_TRUE(reached_end);
}

TEST(StatusMacrosTest, AssignOrReturnMovesTheValueOrHandsOnTheError) {
  EXPECT_EQ(*Sum(std::make_unique<int>(1), std::make_unique<int>(2)), 3);
  EXPECT_EQ(Sum(std::make_unique<int>(1), absl::AbortedError("b")).status(),
            absl::AbortedError("b"));
}

}  // namespace
}  // namespace instar
