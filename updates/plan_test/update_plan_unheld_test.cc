// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Code of an update's author that does not return while no threads are held:
// others see that it still runs, and the update comes to nothing when it does
// return, unless it has taken effect.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::chrono::hours kLong(1);
constexpr std::chrono::minutes kLongest(1);  // for a thread to be seen

// Does not return from the function that it is told, until it may leave.
class StuckMechanism final : public Mechanism {
 public:
  StuckMechanism(std::string where, std::function<void()> wait)
      : where_(std::move(where)), wait_(std::move(wait)) {}

  std::string name() const override { return "the step"; }
  absl::Status Prepare(UpdateForecast&) override {
    Come("Prepare()");
    return absl::OkStatus();
  }
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
    Come("code");
    return QuiescentCode();
  }
  absl::Status BeforeStop() override {
    Come("BeforeStop()");
    return absl::OkStatus();
  }
  Attempt Apply(const StoppedWorld&) override {
    ++applied;
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld&) override {
    --applied;
    return Attempt::Done();
  }
  absl::Status CanUndo() const override {
    Come("CanUndo()");
    return absl::OkStatus();
  }
  // Not of an attempt whose threads were not held in time.
  void AfterStop(AttemptResult result) override {
    if (TookEffect(result)) Come("AfterStop()");
  }

  std::atomic<int> applied{0};

 private:
  void Come(const std::string& where) const {
    if (where == where_) wait_();
  }

  const std::string where_;
  const std::function<void()> wait_;
};

struct Case {
  const char* where;
  const char* said;  // of what still runs
};

// One Apply() or Undo() on a thread of its own.
class Stuck {
 public:
  explicit Stuck(const Case& c) : case_(c) {
    auto made = std::make_shared<StuckMechanism>(c.where, [this] { Wait(); });
    step_ = made.get();
    UpdatePlan plan("stuck");
    plan.Add(std::move(made));
    if (std::string(c.where) == "requirement") {
      plan.When([this] {
        Wait();
        return Attempt::Done();
      });
    }
    update_ = MakeUpdate(std::move(plan));
  }

  void Start(bool apply, std::chrono::nanoseconds timeout) {
    thread_ = std::thread([this, apply, timeout] {
      ApplyOptions options = Options();
      options.timeout = timeout;
      status_ = apply ? update_->Apply(options) : update_->Undo(options);
    });
  }
  // Until it is seen that it still runs, and where: a thread that gets no
  // processor in time, on a busy machine, is looked at again.
  UpdateProgress AwaitBroken() {
    const auto until = std::chrono::steady_clock::now() + kLongest;
    UpdateProgress progress;
    do {
      progress = update_->Progress();
    } while (
        progress.phase != UpdatePhase::kBroken ||
        (!absl::StrContains(progress.blockers.at(0).reason, "Stuck::Wait") &&
         std::chrono::steady_clock::now() < until));
    EXPECT_EQ(progress.blockers.size(), 1u);
    EXPECT_THAT(
        progress.blockers[0].reason,
        AllOf(HasSubstr(absl::StrCat(case_.said, " still runs, in thread ")),
              HasSubstr("Stuck::Wait")))
        << case_.where;
    return progress;
  }
  absl::Status Leave() {
    leave_ = true;
    thread_.join();
    return status_;
  }
  void Pass() { leave_ = true; }
  void Return() { leave_ = is_inside_ = false; }
  ApplyOptions Options() {
    ApplyOptions options;
    options.timeout = kLong;
    if (std::string(case_.where) == "threads") {
      options.threads = [this] {
        Wait();
        return std::vector<ThreadRef>();
      };
    }
    return options;
  }

  Update& update() { return *update_; }
  int applied() const { return step_->applied; }
  bool is_inside() const { return is_inside_; }

 private:
  __attribute__((noinline)) void Wait() {
    is_inside_ = true;
    while (!leave_) std::this_thread::yield();
  }

  const Case case_;
  StuckMechanism* step_;
  std::unique_ptr<Update> update_;
  std::atomic<bool> leave_{false}, is_inside_{false};
  absl::Status status_;
  std::thread thread_;
};

// All at once: each takes seconds until it is given up.
std::vector<std::unique_ptr<Stuck>> Make(const std::vector<Case>& cases) {
  std::vector<std::unique_ptr<Stuck>> all;
  for (const Case& c : cases) all.push_back(std::make_unique<Stuck>(c));
  return all;
}

TEST(UpdatePlanUnheldTest, BeforeAnythingIsChanged) {
  const auto all = Make({
      {"Prepare()", "Prepare() of the step"},
      {"code", "which functions must not be active of the step"},
      {"requirement", "a requirement"},
  });
  for (const auto& stuck : all) {
    stuck->Start(/*apply=*/true, std::chrono::milliseconds(1));
  }
  for (const auto& stuck : all) {
    const UpdateProgress progress = stuck->AwaitBroken();
    EXPECT_TRUE(progress.is_unchanged);
    EXPECT_THAT(progress.blockers[0].reason, HasSubstr("nothing was changed"));
    const absl::Status status = stuck->Leave();
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(" had not returned when the time was up"),
                      HasSubstr("nothing was changed")));
    EXPECT_EQ(stuck->applied(), 0);
    EXPECT_EQ(stuck->update().Apply(stuck->Options()), absl::OkStatus());
    EXPECT_EQ(stuck->applied(), 1);
  }
}

TEST(UpdatePlanUnheldTest, ARequirementOfACheck) {
  Stuck stuck({"requirement", "a requirement"});
  absl::Status status;
  std::thread checking(
      [&] { status = stuck.update().Rehearse(stuck.Options()).status(); });
  EXPECT_TRUE(stuck.AwaitBroken().is_unchanged);
  stuck.Pass();
  checking.join();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(stuck.update().Apply(stuck.Options()), absl::OkStatus());
}

// These have the turn to hold threads meanwhile: one after the other.
TEST(UpdatePlanUnheldTest, JustBeforeThreadsAreHeld) {
  for (const Case& c : {Case{"BeforeStop()", "BeforeStop() of the step"},
                        Case{"threads", "what says which threads to hold"}}) {
    Stuck stuck(c);
    stuck.Start(/*apply=*/true, std::chrono::milliseconds(1));
    EXPECT_TRUE(stuck.AwaitBroken().is_unchanged);
    const absl::Status status = stuck.Leave();
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_EQ(stuck.applied(), 0);
    EXPECT_EQ(stuck.update().Apply(stuck.Options()), absl::OkStatus());
  }
}

TEST(UpdatePlanUnheldTest, WhenItHasTakenEffect) {
  for (const bool apply : {true, false}) {
    Stuck stuck({"AfterStop()", "AfterStop() of the step"});
    if (!apply) {
      stuck.Pass();
      ASSERT_EQ(stuck.update().Apply(stuck.Options()), absl::OkStatus());
      stuck.Return();
    }
    stuck.Start(apply, kLong);
    while (!stuck.is_inside()) std::this_thread::yield();
    stuck.update().Cancel();
    const UpdateProgress progress = stuck.AwaitBroken();
    EXPECT_FALSE(progress.is_unchanged);
    EXPECT_THAT(progress.blockers[0].reason,
                HasSubstr(apply ? "the update has taken effect"
                                : "the update has been undone"));
    EXPECT_EQ(stuck.Leave(), absl::OkStatus());
    EXPECT_EQ(stuck.applied(), apply ? 1 : 0);
    EXPECT_EQ(stuck.update().Progress().phase,
              apply ? UpdatePhase::kApplied : UpdatePhase::kPrepared);
  }
}

TEST(UpdatePlanUnheldTest, WhatSaysWhetherItCanBeUndone) {
  Stuck stuck({"CanUndo()", "CanUndo() of the step"});
  ASSERT_EQ(stuck.update().Apply(stuck.Options()), absl::OkStatus());
  stuck.Start(/*apply=*/false, kLong);
  while (!stuck.is_inside()) std::this_thread::yield();
  stuck.update().Cancel();
  EXPECT_TRUE(stuck.AwaitBroken().is_unchanged);
  const absl::Status status = stuck.Leave();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(stuck.update().Progress().phase, UpdatePhase::kApplied);
  EXPECT_EQ(stuck.update().Undo(stuck.Options()), absl::OkStatus());
  EXPECT_EQ(stuck.applied(), 0);
}

TEST(UpdatePlanUnheldTest, TheOwnerOfALockIsNamed) {
  std::mutex lock;
  std::atomic<bool> has_it{false}, leave{false};
  ControlledThread owner = StartActiveThread("owner", [&] {
    std::lock_guard<std::mutex> owns(lock);
    has_it = true;
    while (!leave) std::this_thread::yield();
  });
  while (!has_it) std::this_thread::yield();
  std::atomic<bool> comes{false};
  UpdatePlan plan("stuck");
  plan.Add(std::make_shared<StuckMechanism>("BeforeStop()", [&] {
    comes = true;
    std::lock_guard<std::mutex> owns(lock);
  }));
  const auto update = MakeUpdate(std::move(plan));
  absl::Status status;
  std::thread applier([&] {
    ApplyOptions options;
    options.timeout = kLong;
    status = update->Apply(options);
  });
  while (!comes) std::this_thread::yield();
  update->Cancel();
  UpdateProgress progress;
  do {
    progress = update->Progress();
  } while (progress.phase != UpdatePhase::kBroken);
  EXPECT_THAT(
      progress.blockers[0].reason,
      AllOf(HasSubstr("BeforeStop() of the step still runs"),
            HasSubstr(absl::StrCat("which waits for a lock that thread ",
                                   owner.ref().tid()))));
  leave = true;
  applier.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

}  // namespace
}  // namespace instar
