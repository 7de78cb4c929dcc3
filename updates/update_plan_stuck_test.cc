// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Code of an update's author that does not return while threads are held: the
// program goes on, and the update is given up.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"
#include "updates/plan_step.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ApplyOptions Within(std::chrono::nanoseconds timeout) {
  ApplyOptions options;
  options.timeout = timeout;
  return options;
}

// Has a lock of the program whenever it is held.
class Owner {
 public:
  Owner()
      : thread_(StartPassiveThread("owner", [this] {
          while (!stop_) {
            {
              std::lock_guard<std::mutex> lock(lock_);
              UpdatePoint();
            }
            ++rounds_;
            // Not before it has been released: it would be held here.
            while (visitors_ > 0) std::this_thread::yield();
          }
        })) {
    AwaitRounds();
  }
  ~Owner() { stop_ = true; }

  // It runs.
  void AwaitRounds() {
    const long before = rounds_;
    while (rounds_ < before + 2) std::this_thread::yield();
  }
  void Visit() {
    ++visitors_;
    std::lock_guard<std::mutex> lock(lock_);
    --visitors_;
  }

 private:
  std::mutex lock_;
  std::atomic<bool> stop_{false};
  std::atomic<long> rounds_{0};
  std::atomic<int> visitors_{0};
  ControlledThread thread_;
};

void ExpectGivenUp(Update& update, const absl::Status& status) {
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("hook before the update"),
                    HasSubstr("the state of the program is unknown")));
  EXPECT_EQ(update.Progress().phase, UpdatePhase::kBroken);
  EXPECT_TRUE(absl::IsFailedPrecondition(update.Apply({})));
}

TEST(UpdatePlanStuckTest, AHookThatWaitsForALockOfAHeldThread) {
  Owner owner;
  bool goes_on = false;
  UpdatePlan plan("stuck");
  plan.Before([&] {
    owner.Visit();
    return absl::OkStatus();
  });
  plan.After([&] {
    goes_on = true;
    return absl::OkStatus();
  });
  const auto update = MakeUpdate(std::move(plan));
  ExpectGivenUp(*update, update->Apply(Within(std::chrono::seconds(2))));
  EXPECT_FALSE(goes_on);
  owner.AwaitRounds();
}

TEST(UpdatePlanStuckTest, ItCanBeCancelled) {
  Owner owner;
  std::atomic<bool> begun{false};
  UpdatePlan plan("stuck");
  plan.Before([&] {
    begun = true;
    owner.Visit();
    return absl::OkStatus();
  });
  const auto update = MakeUpdate(std::move(plan));
  std::thread canceller([&] {
    while (!begun) std::this_thread::yield();
    update->Cancel();
  });
  ExpectGivenUp(*update, update->Apply(Within(std::chrono::hours(1))));
  canceller.join();
  owner.AwaitRounds();
}

// It still runs: others see what and where, and the program goes on.
TEST(UpdatePlanStuckTest, WhatStillRunsIsShown) {
  Owner owner;
  std::atomic<bool> leave{false};
  UpdatePlan plan("stuck");
  plan.Before([&] {
    while (!leave) std::this_thread::yield();
    return absl::OkStatus();
  });
  const auto update = MakeUpdate(std::move(plan));
  absl::Status status;
  std::atomic<bool> has_ended{false};
  std::thread applier([&] {
    status = update->Apply(Within(std::chrono::seconds(2)));
    has_ended = true;
  });
  UpdateProgress progress;
  while (progress.phase != UpdatePhase::kBroken && !has_ended) {
    progress = update->Progress();
  }
  EXPECT_EQ(progress.blockers.size(), 1u);
  EXPECT_THAT(progress.blockers[0].reason,
              AllOf(HasSubstr("hook before the update still runs, in thread "),
                    HasSubstr("the threads have been released")));
  owner.AwaitRounds();
  {
    auto rendezvous = Rendezvous::HoldAll();
    EXPECT_TRUE(rendezvous.ok()) << rendezvous.status();
  }
  leave = true;
  applier.join();
  ExpectGivenUp(*update, status);
}

// Where nothing was changed, nothing is lost.
class SlowToBeReady : public PlanStep {
 public:
  explicit SlowToBeReady(Owner& owner) : owner_(owner) {}
  std::string name() const override { return "a step"; }
  Attempt Ready(absl::Span<const HeldThread>) override {
    if (waits) owner_.Visit();
    return Attempt::Done();
  }
  absl::Status Apply() override { return absl::OkStatus(); }
  absl::Status Undo() override { return absl::OkStatus(); }

  bool waits = true;

 private:
  Owner& owner_;
};

TEST(UpdatePlanStuckTest, AStepThatDoesNotSayWhetherItIsReady) {
  Owner owner;
  auto made = std::make_unique<SlowToBeReady>(owner);
  SlowToBeReady& step = *made;
  UpdatePlan plan("stuck");
  plan.Add(std::move(made));
  const auto update = MakeUpdate(std::move(plan));
  const absl::Status status = update->Apply(Within(std::chrono::seconds(2)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("had not said whether it is ready"));
  EXPECT_TRUE(absl::IsDeadlineExceeded(update->Rehearse({}).status()));
  step.waits = false;
  EXPECT_EQ(update->Apply(Within(std::chrono::hours(1))), absl::OkStatus());
}

// What is meant to take a lock of the program finds it free where threads own
// none.
TEST(UpdatePlanStuckTest, AtANamedUpdatePointTheLocksAreFree) {
  std::mutex lock;
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("owner", [&] {
    while (!stop) {
      {
        std::lock_guard<std::mutex> owns(lock);
        UpdatePoint();
      }
      UpdatePoint("between requests");
    }
  });
  for (int i = 0; i < 20; ++i) {
    UpdatePlan plan("locks");
    plan.AtUpdatePoint("between requests");
    plan.Before([&] {
      std::lock_guard<std::mutex> owns(lock);
      return absl::OkStatus();
    });
    const auto update = MakeUpdate(std::move(plan));
    EXPECT_EQ(update->Apply(Within(std::chrono::hours(1))), absl::OkStatus());
  }
  stop = true;
}

}  // namespace
}  // namespace instar
