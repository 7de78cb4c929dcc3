// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/testing/update_fixture.h"

#include <atomic>
#include <chrono>
#include <functional>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest-spi.h"
#include "gtest/gtest.h"
#include "threads/known_names.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using updates_test::Price;
using updates_test::Price2;

absl::Status RaisePrices(UpdatePlan& plan) {
  plan.Redefine(Price, &Price2);
  return absl::OkStatus();
}

absl::Status RaisePricesPerThread(ThreadUpdates& threads) {
  threads.Add("shop", Redefine(Price, &Price2));
  return absl::OkStatus();
}

TEST_F(UpdateFixture, APlan) {
  static std::atomic<int> price{0};  // the thread outlives this function
  StartThread("shop", [&] { price = Price(1); });
  Make("prices", &RaisePrices);
  Apply();
  AwaitSteps();
  EXPECT_EQ(price, 201);
  Undo();
  AwaitSteps();
  EXPECT_EQ(price, 101);
}

TEST_F(UpdateFixture, UpdateFunctionsOfThreads) {
  static std::atomic<int> price{0};  // the thread outlives this function
  StartThread(
      "shop", [&] { price = Price(1); }, ThreadKind::kActive);
  Make("prices", &RaisePricesPerThread);
  Apply();
  AwaitSteps();
  EXPECT_EQ(price, 201);
}  // undone by the fixture

TEST_F(UpdateFixture, WhatIsAppliedIsUndoneAtTheEnd) {
  EXPECT_EQ(Price(1), 101);
  Make("prices", &RaisePrices);
  Apply();
  TearDown();
  EXPECT_EQ(Price(1), 101);
}

TEST_F(UpdateFixture, AMainFunctionThatIsRebooted) {
  static std::atomic<int> main{0};
  StartThread("other", [] {});
  StartMain("display", [&] {
    main = 1;
    while (!is_stopping()) UpdatePoint();
  });
  Make("display", std::function<absl::Status(UpdatePlan&)>([&](auto& plan) {
         plan.Reboot("display", [&] {
           main = 2;
           while (!is_stopping()) UpdatePoint();
         });
         return absl::OkStatus();
       }));
  Apply();
  while (main != 2) AwaitSteps();
}

TEST_F(UpdateFixture, SaysWhatGoesWrong) {
  DeclareThread("nobody");
  Make("nobody", std::function<absl::Status(UpdatePlan&)>([](auto& plan) {
         plan.Reboot("nobody", [] {});
         return absl::OkStatus();
       }));
  const absl::Status late = TryApply(std::chrono::milliseconds(5));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_NONFATAL_FAILURE(Undo(), "is not applied");
  EXPECT_NONFATAL_FAILURE(
      Make("wrong", std::function<absl::Status(UpdatePlan&)>([](auto&) {
             return absl::InvalidArgumentError("two of these");
           })),
      "the update wrong refuses: INVALID_ARGUMENT: two of these");
}

}  // namespace
}  // namespace instar
