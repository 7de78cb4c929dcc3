// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads of a name are held at a point of their own, all others wherever they
// can be.

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/testing/functions_for_test.h"
#include "updates/testing/within.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

// Takes something here and puts it down there, and waits in between as long as
// it is told to: at update points, or in a blocking region.
class Mover {
 public:
  enum class Waits { kAtPoints, kInARegion };
  explicit Mover(Waits waits, ThreadKind kind = ThreadKind::kPassive)
      : waits_(waits), thread_(StartThread("mover", kind, [this] { Move(); })) {
    while (!has_some_) std::this_thread::yield();
  }
  ~Mover() {
    stop_ = true;
    may_go_on_ = true;
  }
  void GoOn() { may_go_on_ = true; }
  bool has_some() const { return has_some_; }

 private:
  void Move() {
    while (!stop_) {
      has_some_ = true;
      do {
        UpdatePoint();
        Price(1);  // where an active thread would be held
        if (waits_ == Waits::kInARegion) {
          Blocking([] { std::this_thread::yield(); });
        }
        UpdatePoint("elsewhere");
      } while (!may_go_on_);
      has_some_ = false;
      UpdatePoint("between moves");
    }
  }

  const Waits waits_;
  std::atomic<bool> has_some_{false};
  std::atomic<bool> may_go_on_{false};
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

using Param = std::tuple<Mover::Waits, ThreadKind>;
class UpdatePlanPointsTest : public testing::TestWithParam<Param> {};

TEST_P(UpdatePlanPointsTest, WaitsForTheThreadsOfTheName) {
  const auto [waits, kind] = GetParam();
  Mover one(waits, kind), two(waits, kind);
  one.GoOn();
  // These come to no such point.
  const Looping active(
      "active", [] { Price(1); }, ThreadKind::kActive);
  const Looping passive("passive");
  const Looping sleeper("sleeper",
                        [] { SleepFor(std::chrono::milliseconds(1)); });
  int in_the_middle = 0;
  const auto look = [&] {
    in_the_middle += (one.has_some() ? 1 : 0) + (two.has_some() ? 1 : 0);
    return absl::OkStatus();
  };
  UpdatePlan plan("price");
  plan.AtUpdatePoint("between moves", "mover");
  plan.Redefine(&Price, &Price2);
  plan.After(look, look);
  const auto update = MakeUpdate(std::move(plan));
  const absl::Status applied = update->Apply(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(applied)) << applied;
  EXPECT_THAT(std::string(applied.message()),
              HasSubstr("it comes to no update point 'between moves'"));
  EXPECT_EQ(Price(1), 101);
  two.GoOn();
  for (int i = 0; i < 5; ++i) {
    const absl::Status again = update->Apply(kPatiently);
    ASSERT_TRUE(again.ok()) << again;
    EXPECT_EQ(Price(1), 201);
    active.AwaitRounds();
    const absl::Status undone = update->Undo(kPatiently);
    ASSERT_TRUE(undone.ok()) << undone;
    EXPECT_EQ(Price(1), 101);
  }
  EXPECT_EQ(in_the_middle, 0);
}

INSTANTIATE_TEST_SUITE_P(
    , UpdatePlanPointsTest,
    testing::Combine(
        testing::Values(Mover::Waits::kAtPoints, Mover::Waits::kInARegion),
        testing::Values(ThreadKind::kPassive, ThreadKind::kActive)));

TEST(UpdatePlanPointNamesTest, ACheckKnowsOfThem) {
  Mover mover(Mover::Waits::kAtPoints);
  UpdatePlan plan("price");
  plan.AtUpdatePoint("between movers", "mover");
  plan.Redefine(&Price, &Price2);
  std::vector<std::string> remarks;
  ApplyOptions options;
  options.remarks = &remarks;
  const auto update = MakeUpdate(std::move(plan));
  const auto blockers = update->Rehearse(options);
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  ASSERT_EQ(blockers->size(), 1);
  EXPECT_EQ((*blockers)[0].thread, "mover");
  EXPECT_THAT(remarks, testing::Contains(HasSubstr("'between movers'")));
}

TEST(UpdatePlanPointNamesTest, AThreadThatThereIsNotIsRefused) {
  Mover mover(Mover::Waits::kAtPoints);
  for (const bool is_prepared : {true, false}) {
    UpdatePlan plan("price");
    plan.AtUpdatePoint("between moves", "moover");
    plan.Redefine(&Price, &Price2);
    const auto update = MakeUpdate(std::move(plan));
    const absl::Status status =
        is_prepared ? update->Prepare().status() : update->Apply(kPatiently);
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("'mover'"));
  }
}

}  // namespace
}  // namespace instar
