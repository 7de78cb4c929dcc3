// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/shadow_data.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/shadow/shadow.h"
#include "heap/updatable.h"
#include "threads/attempt.h"
#include "threads/testing/looping.h"
#include "updates/change.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/quiescence/stopped_world.h"
#include "updates/update.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Product : Updatable<Product> {};

struct Counted {
  Counted() { ++live; }
  ~Counted() { --live; }
  static inline std::atomic<int> live{0};
};

Shadow<Counted> counted("counted");

class ShadowDataTest : public testing::Test {
 protected:
  ~ShadowDataTest() override {
    counted.End();
    EXPECT_EQ(Counted::live, 0);
  }

  // Between a hook that attaches, and is undone after it, and one that fails
  // when it is told.
  std::unique_ptr<Update> Make() {
    const auto attach = [this] {
      counted.FindOrAttach(&product_);
      return absl::OkStatus();
    };
    const auto fail_if = [](const bool& fails) {
      return [&fails] {
        return fails ? absl::UnavailableError("not today") : absl::OkStatus();
      };
    };
    UpdatePlan plan("shadow");
    plan.Before(attach, fail_if(undo_fails_));
    plan.Add(EndWithUpdate(&counted));
    plan.After(fail_if(apply_fails_), [] { return absl::OkStatus(); });
    return MakeUpdate(std::move(plan));
  }

  Product product_;
  bool apply_fails_ = false, undo_fails_ = false;
};

TEST_F(ShadowDataTest, EndsWhenTheUpdateIsUndone) {
  const auto update = Make();
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->can_undo, absl::OkStatus());
  EXPECT_THAT(forecast->lost_by_undo,
              ElementsAre("shadow data counted: what has been attached"));
  EXPECT_EQ(Counted::live, 0);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(update->Apply({}), absl::OkStatus());
    EXPECT_NE(counted.Find(&product_), nullptr);
    Product other;
    counted.Attach(&other);
    EXPECT_EQ(Counted::live, 2);
    ASSERT_EQ(update->Undo({}), absl::OkStatus());
    EXPECT_EQ(Counted::live, 0);
    EXPECT_EQ(counted.Find(&product_), nullptr);
  }
}

TEST_F(ShadowDataTest, EndsWhenTheUpdateFails) {
  const auto update = Make();
  apply_fails_ = true;
  EXPECT_FALSE(update->Apply({}).ok());
  EXPECT_EQ(Counted::live, 0);
  apply_fails_ = false;
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  EXPECT_EQ(Counted::live, 1);
}

// What the program has attached itself.
TEST_F(ShadowDataTest, ACheckEndsNothing) {
  const auto update = Make();
  counted.Attach(&product_);
  const auto blockers = update->Rehearse({});
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  EXPECT_THAT(*blockers, IsEmpty());
  EXPECT_EQ(Change(EndWithUpdate(&counted)).Check().status(), absl::OkStatus());
  EXPECT_EQ(Counted::live, 1);
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  EXPECT_EQ(Counted::live, 1);
}

// Nor does an attempt for which the threads did not come.
TEST_F(ShadowDataTest, AnAttemptThatStopsNobodyEndsNothing) {
  Looping worker("worker");
  worker.AwaitRounds();
  ChangeOptions elsewhere(Stacks::kControlledThreads);
  elsewhere.point = "elsewhere";
  counted.Attach(&product_);
  const Attempt attempt = Change(EndWithUpdate(&counted), elsewhere).Apply();
  EXPECT_TRUE(attempt.is_not_yet()) << attempt.reason();
  EXPECT_EQ(Counted::live, 1);
}

// Nor does one whose threads have come, and of which another part is not
// ready.
TEST_F(ShadowDataTest, AnAttemptThatIsTooEarlyEndsNothing) {
  class IsNotReady final : public Mechanism {
   public:
    std::string name() const override { return "another part"; }
    Attempt Ready(const StoppedWorld&, Direction) override {
      return Attempt::NotYet("it is too early");
    }
    Attempt Apply(const StoppedWorld&) override { return Attempt::Done(); }
    Attempt Undo(const StoppedWorld&) override { return Attempt::Done(); }
  };
  UpdatePlan plan("shadow");
  plan.Add(EndWithUpdate(&counted));
  plan.Add(std::make_shared<IsNotReady>());
  counted.Attach(&product_);
  ApplyOptions options;
  options.timeout = std::chrono::milliseconds(20);
  const absl::Status status = MakeUpdate(std::move(plan))->Apply(options);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(Counted::live, 1);
}

TEST_F(ShadowDataTest, StaysWhenTheUndoFails) {
  const auto update = Make();
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  const Counted* const before = counted.Find(&product_);
  undo_fails_ = true;
  EXPECT_TRUE(absl::IsUnavailable(update->Undo({})));
  EXPECT_EQ(counted.Find(&product_), before);
  EXPECT_EQ(Counted::live, 1);
  undo_fails_ = false;
  ASSERT_EQ(update->Undo({}), absl::OkStatus());
  EXPECT_EQ(Counted::live, 0);
}

}  // namespace
}  // namespace instar
