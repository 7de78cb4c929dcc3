// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A mechanism of somebody's own can do all that those of the library can.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/testing/sanitizers.h"
#include "code/portable/needs_entries_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/testing/functions_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::chrono::seconds kLong(60);

// What each test overrides.
struct Own : Mechanism {
  std::string name() const override { return "own"; }
  Attempt Apply(const StoppedWorld&) override {
    ++applied;
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld&) override {
    ++undone;
    return Attempt::Done();
  }
  std::atomic<int> applied{0}, undone{0};
};

struct OfWorker final : Own {
  MechanismTraits traits() const override {
    MechanismTraits traits;
    traits.thread = "worker";
    return traits;
  }
};

TEST(MechanismAbilitiesTest, IsDoneInEachThreadOfAName) {
  Looping one("worker"), two("worker"), other("other");
  const auto own = std::make_shared<OfWorker>();
  Change change(own);
  const auto update = [&](const Looping& thread, UpdateFunction function) {
    UpdateRequest request =
        SetUpdateFunction(thread.ref(), std::move(function));
    request.Trigger();
    return request.Await(kLong);
  };
  EXPECT_EQ(update(one, change), absl::OkStatus());
  EXPECT_EQ(update(two, change), absl::OkStatus());
  EXPECT_EQ(own->applied, 2);
  // By itself: nobody was stopped.
  EXPECT_TRUE(change.TakeHolds().times.empty());
  const absl::Status elsewhere = update(other, change);
  EXPECT_TRUE(absl::IsInvalidArgument(elsewhere)) << elsewhere;
  EXPECT_THAT(std::string(elsewhere.message()),
              HasSubstr("update function of thread 'other'"));
  EXPECT_EQ(own->applied, 2);
  EXPECT_EQ(update(one, change.UndoFunction()), absl::OkStatus());
  EXPECT_EQ(own->undone, 1);
}

struct OfOneThread final : Own {
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kEverything, Stacks::kThisThread};
  }
};

TEST(MechanismAbilitiesTest, SaysWhoMustBeStoppedAtLeast) {
  Looping other("other");
  other.AwaitRounds();
  Change refused(std::make_shared<Own>(), Stacks::kThisThread);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.Prepare()));
  Change change(std::make_shared<OfOneThread>());
  EXPECT_TRUE(change.Apply().is_done());
  EXPECT_TRUE(change.TakeHolds().times.empty());
}

struct OfDwell final : Own {
  explicit OfDwell(bool forced) : can_be_forced(forced) {}
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
    const absl::StatusOr<Function> dwell = Function::Of(&updates_test::Dwell);
    if (!dwell.ok()) return dwell.status();
    QuiescentCode code{{*dwell}};
    code.can_be_forced = can_be_forced;
    return code;
  }
  const bool can_be_forced;
};

TEST(MechanismAbilitiesTest, LetsNewCallsWait) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  volatile bool stop = false;
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&stop] { updates_test::CallDwell(&stop); });
  }
  ChangeOptions forced(Stacks::kAllThreads);
  forced.forced_quiescence = kLong;
  Change refused(std::make_shared<OfDwell>(false), forced);
  const absl::Status why = refused.Prepare();
  EXPECT_TRUE(absl::IsInvalidArgument(why)) << why;
  const auto own = std::make_shared<OfDwell>(true);
  EXPECT_EQ(Apply(own, forced, kLong), absl::OkStatus());
  EXPECT_EQ(own->applied, 1);
  stop = true;
  for (std::thread& caller : callers) caller.join();
}

struct Recorded final : Own {
  absl::Status BeginAttempts() override {
    log.push_back("begin");
    return begins;
  }
  void EndAttempts() override { log.push_back("end"); }
  Attempt Ready(const StoppedWorld&, Direction) override {
    if (++asked < 3) return Attempt::NotYet("a moment");
    return Attempt::Done();
  }
  void AfterStop(AttemptResult result) override {
    log.push_back(TookEffect(result) ? "done" : "in vain");
  }
  Progress progress() const noexcept override { return {3, 7, true}; }

  int asked = 0;
  absl::Status begins;
  std::vector<std::string> log;
};

TEST(MechanismAbilitiesTest, IsToldWhenAttemptsBeginAndEnd) {
  const auto own = std::make_shared<Recorded>();
  UpdatePlan plan("plan");
  plan.Add(own);
  const auto update = MakeUpdate(std::move(plan));
  own->begins = absl::ResourceExhaustedError("no room");
  const absl::Status status = update->Apply({});
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(status.message(), "own: no room");
  EXPECT_THAT(own->log, ElementsAre("begin", "end"));
  own->begins = absl::OkStatus();
  own->log.clear();
  ApplyOptions later;
  later.settle_later = true;
  ASSERT_EQ(update->Apply(later), absl::OkStatus());
  EXPECT_THAT(own->log, ElementsAre("begin", "in vain", "in vain", "done"));
  update->Settle();
  EXPECT_EQ(own->log.back(), "end");
}

TEST(MechanismAbilitiesTest, ShowsItsProgress) {
  UpdatePlan plan("plan");
  plan.Add(std::make_shared<Recorded>());
  plan.Add(std::make_shared<Recorded>());
  const UpdateProgress progress = MakeUpdate(std::move(plan))->Progress();
  EXPECT_EQ(progress.objects_converted, 6u);
  EXPECT_EQ(progress.objects_total, 14u);
  EXPECT_TRUE(progress.is_converting);
}

// Says of its thread how much of its stack it is going to unwind.
struct Unwinds final : Own {
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
    const absl::StatusOr<Function> depth = Function::Of(&updates_test::Depth);
    if (!depth.ok()) return depth.status();
    return QuiescentCode{{*depth}};
  }
  std::uintptr_t UnwindsUpTo(const ThreadRef& thread) const override {
    return thread.name() == "inside" ? up_to : StoppedWorld::kAllCounts;
  }
  std::uintptr_t up_to = StoppedWorld::kAllCounts;
};

TEST(MechanismAbilitiesTest, WhatAThreadWillUnwindIsNotLookedAt) {
  std::atomic<std::uintptr_t> above{0};
  std::atomic<bool> leave{false};
  ControlledThread inside = StartPassiveThread("inside", [&] {
    const char base = 0;
    updates_test::Depth(2, [&] {
      above = reinterpret_cast<std::uintptr_t>(&base);
      while (!leave) UpdatePoint();
    });
  });
  while (above == 0) std::this_thread::yield();
  const auto own = std::make_shared<Unwinds>();
  Change change(own);
  const auto blockers = change.Check();
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  EXPECT_FALSE(blockers->empty());
  for (const std::uintptr_t up_to :
       {above.load(), StoppedWorld::kNothingCounts}) {
    own->up_to = up_to;
    const auto none = change.Check();
    ASSERT_TRUE(none.ok()) << none.status();
    EXPECT_TRUE(none->empty());
  }
  leave = true;
}

struct Long final : Own {
  Attempt Apply(const StoppedWorld& world) override {
    const auto until = std::chrono::steady_clock::now() + milliseconds(2500);
    while (std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(1));
      if (comes_on && !world.conversion_watch()->GoesOn()) break;
    }
    return Attempt::Done();
  }
  bool comes_on = true;
};

TEST(MechanismAbilitiesTest, IsNotGivenUpWhileItComesOn) {
  Looping held("held");
  ApplyOptions options;
  options.timeout = milliseconds(500);
  for (const bool comes_on : {true, false}) {
    const auto own = std::make_shared<Long>();
    own->comes_on = comes_on;
    UpdatePlan plan("long");
    plan.Add(own);
    const absl::Status status = MakeUpdate(std::move(plan))->Apply(options);
    EXPECT_EQ(absl::IsDataLoss(status), !comes_on) << status;
    EXPECT_EQ(status.ok(), comes_on) << status;
  }
}

}  // namespace
}  // namespace instar
