// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/transfer.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/update.h"
#include "updates/update_plan.h"

namespace instar {
namespace updates_test {

std::map<int, int> transferred_prices;  // by number

}  // namespace updates_test
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using updates_test::transferred_prices;
using Old = std::map<int, int>;
using New = std::vector<std::string>;

constexpr char kName[] = "instar::updates_test::transferred_prices";

absl::Status Convert(const Old& old, New& to) {
  for (const auto& [number, price] : old) to.push_back(std::to_string(price));
  return absl::OkStatus();
}
absl::Status Back(const New& prices, Old& old) {
  old.clear();
  for (const std::string& price : prices) {
    old[static_cast<int>(old.size())] = std::stoi(price);
  }
  return absl::OkStatus();
}

class TransferTest : public testing::Test {
 protected:
  TransferTest() { transferred_prices = {{1, 10}, {2, 20}}; }

  // With one that fails when it is told, after it.
  std::unique_ptr<Update> Make(std::shared_ptr<Mechanism> transfer) {
    UpdatePlan plan("transfer");
    const auto nothing = [] { return absl::OkStatus(); };
    const auto fail_if = [](const bool& fails) {
      return [&fails] {
        return fails ? absl::UnavailableError("not today") : absl::OkStatus();
      };
    };
    // An undo goes backwards: the one before it is undone after it.
    plan.Before(nothing, fail_if(undo_fails_));
    plan.Add(std::move(transfer));
    plan.After(fail_if(apply_fails_), nothing);
    return MakeUpdate(std::move(plan));
  }

  New prices_ = {"0"};
  bool apply_fails_ = false, undo_fails_ = false;
};

TEST_F(TransferTest, ThereAndBack) {
  const auto update = Make(Transfer<Old, New>(kName, &prices_, &Convert));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->can_undo, absl::OkStatus());
  const auto is_lost = ElementsAre(
      "transfer instar::updates_test::transferred_prices: what the new version "
      "has changed of it");
  EXPECT_THAT(forecast->lost_by_undo, is_lost);
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  EXPECT_THAT(prices_, ElementsAre("0", "10", "20"));
  EXPECT_THAT(update->LostByUndo(), is_lost);
  prices_.push_back("30");
  ASSERT_EQ(update->Undo({}), absl::OkStatus());
  EXPECT_THAT(prices_, ElementsAre("0"));
  EXPECT_THAT(transferred_prices, ElementsAre(Pair(1, 10), Pair(2, 20)));
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  EXPECT_THAT(prices_, ElementsAre("0", "10", "20"));
}

TEST_F(TransferTest, CarriesBack) {
  const auto update =
      Make(TransferBothWays<Old, New>(kName, &prices_, &Convert, &Back));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->lost_by_undo, testing::IsEmpty());
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  prices_ = {"5", "6", "7"};
  ASSERT_EQ(update->Undo({}), absl::OkStatus());
  EXPECT_THAT(transferred_prices,
              ElementsAre(Pair(0, 5), Pair(1, 6), Pair(2, 7)));
  EXPECT_THAT(prices_, ElementsAre("0"));
}

TEST_F(TransferTest, IsRolledBackExactly) {
  const auto update =
      Make(TransferBothWays<Old, New>(kName, &prices_, &Convert, &Back));
  apply_fails_ = true;
  EXPECT_TRUE(absl::IsUnavailable(update->Apply({})));
  // What Back() would have made of it has other numbers.
  EXPECT_THAT(transferred_prices, ElementsAre(Pair(1, 10), Pair(2, 20)));
  EXPECT_THAT(prices_, ElementsAre("0"));
  apply_fails_ = false;
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  prices_ = {"5"};
  undo_fails_ = true;
  EXPECT_TRUE(absl::IsUnavailable(update->Undo({})));
  EXPECT_THAT(prices_, ElementsAre("5"));
  EXPECT_THAT(transferred_prices, ElementsAre(Pair(1, 10), Pair(2, 20)));
  undo_fails_ = false;
  ASSERT_EQ(update->Undo({}), absl::OkStatus());
  EXPECT_THAT(transferred_prices, ElementsAre(Pair(0, 5)));
  EXPECT_THAT(prices_, ElementsAre("0"));
}

TEST_F(TransferTest, AConversionThatFailsChangesNothing) {
  const auto update = Make(Transfer<Old, New>(
      kName, &prices_, [](const Old&, New& to) -> absl::Status {
        to.clear();
        return absl::DataLossError("half way");
      }));
  EXPECT_TRUE(absl::IsDataLoss(update->Apply({})));
  EXPECT_THAT(prices_, ElementsAre("0"));
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
}

TEST_F(TransferTest, WhatIsNotThereIsRefused) {
  const auto unknown = Make(Transfer<Old, New>(
      "instar::updates_test::transferred_price", &prices_, &Convert));
  const absl::Status status = unknown->Prepare().status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("transferred_prices"));
  const auto other = Make(Transfer<int, New>(
      kName, &prices_, [](const int&, New&) { return absl::OkStatus(); }));
  EXPECT_TRUE(absl::IsInvalidArgument(other->Prepare().status()));
}

}  // namespace
}  // namespace instar
