// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Plans that are applied while active threads are in loops that call nothing
// updatable, at the update points that the compiler has put there.

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"
#include "threads/update_point_test/loops_for_test.h"
#include "updates/testing/functions_for_test.h"
#include "updates/testing/update_fixture.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::HasSubstr;
using updates_test::Price;
using updates_test::Price2;

constexpr std::chrono::milliseconds kBriefly(200);

struct Product : Updatable<Product> {
  virtual int version() const { return 1; }
};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  int version() const override { return 2; }
};

absl::Status NewPrice(UpdatePlan& plan) {
  plan.Redefine(&Price, &Price2);
  return absl::OkStatus();
}

absl::Status NewProduct(UpdatePlan& plan) {
  plan.ConvertEagerly<Product, ProductV2>();
  return absl::OkStatus();
}

class LoopPointsTest : public UpdateFixture {
 protected:
  // An active thread in the loop, which is over when the test says so.
  void StartLoop(void (*loop)(const std::atomic<bool>&)) {
    StartMain(
        "sum",
        [this, loop] {
          begun_ = true;
          loop(is_over_);
        },
        ThreadKind::kActive);
    while (!begun_) std::this_thread::yield();
  }
  void TearDown() override {
    is_over_ = true;
    UpdateFixture::TearDown();
  }

  std::atomic<bool> begun_{false};
  std::atomic<bool> is_over_{false};
  std::atomic<int> rebooted_{0};
};

TEST_F(LoopPointsTest, EndlessLoopIsHeldRedefinedAroundAndRebooted) {
  late_loops::unwound = 0;
  StartMain("sum", &late_loops::SumForEver, ThreadKind::kActive);
  Make("price", &NewPrice);
  Apply();
  EXPECT_EQ(Price(1), 201);
  Undo();
  EXPECT_EQ(Price(1), 101);
  EXPECT_EQ(late_loops::unwound, 0);  // it goes on

  Make("all", [this](UpdatePlan& plan) {
    plan.Redefine(&Price, &Price2);
    plan.Reboot(
        "sum",
        [this] {
          ++rebooted_;
          late_loops::SumForEver();
        },
        &late_loops::SumForEver);
    return absl::OkStatus();
  });
  Apply();
  EXPECT_EQ(Price(1), 201);
  while (rebooted_ == 0) std::this_thread::yield();
  EXPECT_EQ(late_loops::unwound, 2);
  Undo();
  EXPECT_EQ(Price(1), 101);

  Make("end", [this](UpdatePlan& plan) {
    plan.Reboot(
        "sum", [this] { ++rebooted_; }, &late_loops::SumForEver);
    return absl::OkStatus();
  });
  Apply();
  while (rebooted_ == 1) std::this_thread::yield();
}

TEST_F(LoopPointsTest, RedefinitionTakesEffectInALateLoop) {
  StartLoop(&late_loops::SumUntil);
  Make("price", &NewPrice);
  Apply();
  EXPECT_EQ(Price(1), 201);
  Undo();
  EXPECT_EQ(Price(1), 101);
}

TEST_F(LoopPointsTest, NothingIsConvertedAtALatePoint) {
  const auto product = std::make_unique<Product>();
  StartLoop(&late_loops::SumUntil);
  Make("product", &NewProduct);
  const absl::Status status = TryApply(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("'sum'"));
  EXPECT_EQ(product->version(), 1);
  is_over_ = true;
  Apply();
  EXPECT_EQ(product->version(), 2);
}

TEST_F(LoopPointsTest, ObjectsAreConvertedAtAnEarlyPoint) {
  const auto product = std::make_unique<Product>();
  StartLoop(&early_loops::SumUntil);
  Make("product", &NewProduct);
  Apply();
  EXPECT_EQ(product->version(), 2);
  Undo();
  EXPECT_EQ(product->version(), 1);
}

TEST_F(LoopPointsTest, AnotherThreadIsRebootedWhileOneIsAtALatePoint) {
  StartLoop(&late_loops::SumUntil);
  StartMain(
      "other", [] { early_loops::SumForEver(); }, ThreadKind::kActive);
  Make("reboot", [this](UpdatePlan& plan) {
    plan.Reboot(
        "other", [this] { ++rebooted_; }, [] {});
    return absl::OkStatus();
  });
  Apply();
  while (rebooted_ == 0) std::this_thread::yield();
}

TEST_F(LoopPointsTest, ALateLoopIsRebootedWhenItIsOver) {
  StartLoop(&late_loops::SumUntil);
  Make("reboot", [this](UpdatePlan& plan) {
    plan.Reboot(
        "sum", [this] { ++rebooted_; }, [] {});
    return absl::OkStatus();
  });
  const absl::Status status = TryApply(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("'sum'"));
}

TEST_F(LoopPointsTest, AnEarlyLoopIsRebooted) {
  early_loops::unwound = 0;
  StartLoop(&early_loops::SumUntil);
  Make("reboot", [this](UpdatePlan& plan) {
    plan.Reboot(
        "sum", [this] { ++rebooted_; }, [] {});
    return absl::OkStatus();
  });
  Apply();
  while (rebooted_ == 0) std::this_thread::yield();
  EXPECT_EQ(early_loops::unwound, 1);
}

}  // namespace
}  // namespace instar
