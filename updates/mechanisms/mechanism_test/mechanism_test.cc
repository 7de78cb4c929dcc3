// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is called of a step, when, and what comes of its errors.

#include "updates/mechanisms/mechanism.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/function_set.h"
#include "threads/attempt.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"
#include "threads/update_point.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::AllOf;

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// A thread that is held and let go, and what was called of the steps meanwhile.
class Observed {
 public:
  Observed() {
    Wait([this] { return rounds_ > 0; });
  }
  ~Observed() { stop_ = true; }

  // Keeps "held a.Apply", or "run a.BeforeStop".
  void Call(const std::string& step, const std::string& function) {
    const std::string call = absl::StrCat(step, ".", function);
    // Not in the order of the others, and as often as is needed.
    const bool is_question = function == "MustBeQuiescent" ||
                             function == "CanUndo" || function == "UnwindsUpTo";
    const bool is_held = MayRun(function) ? !Runs() : StandsStill();
    (is_question ? questions_ : calls_)
        .push_back(absl::StrCat(is_held ? "held " : "run ", call));
    const auto error = errors_.find(call);
    if (error == errors_.end()) return;
    if (--error->second == 0) errors_.erase(error);
    throw std::runtime_error(absl::StrCat("no ", function));
  }
  // The next calls of "a.Apply" throw.
  void Throw(const std::string& call, int times = 1) { errors_[call] = times; }

  std::vector<std::string> TakeCalls() { return std::exchange(calls_, {}); }
  std::vector<std::string> TakeQuestions() {
    return std::exchange(questions_, {});
  }

 private:
  static bool MayRun(const std::string& function) {
    for (const char* const held :
         {"Ready", "ReadyToUndo", "UnwindsUpTo", "Apply", "Undo"}) {
      if (function == held) return false;
    }
    return true;
  }
  template <typename F>
  static bool Wait(F is) {
    const auto limit =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!is()) {
      if (std::chrono::steady_clock::now() > limit) return false;
      std::this_thread::yield();
    }
    return true;
  }
  bool Runs() {
    const long seen = rounds_;
    return Wait([&] { return rounds_ >= seen + 2; });
  }
  bool StandsStill() {
    const long seen = rounds_;
    for (int i = 0; i < 10; ++i) std::this_thread::yield();
    return thread_.state() == ThreadState::kHeld && rounds_ == seen;
  }

  std::map<std::string, int> errors_;
  std::vector<std::string> calls_, questions_;
  std::atomic<bool> stop_{false};
  std::atomic<long> rounds_{0};
  ControlledThread thread_ = StartPassiveThread("observed", [this] {
    while (!stop_) {
      ++rounds_;
      UpdatePoint();
    }
  });
};

class Recording final : public Mechanism {
 public:
  Recording(std::string name, Observed& observed)
      : name_(std::move(name)), observed_(observed) {}

  std::string name() const override { return absl::StrCat("step ", name_); }
  absl::Status Prepare(UpdateForecast&) override { return Called("Prepare"); }
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
    Called("MustBeQuiescent").IgnoreError();
    return QuiescentCode();
  }
  absl::Status BeforeStop() override {
    Called("BeforeStop").IgnoreError();
    return before_stop;
  }
  Attempt Ready(const StoppedWorld&, Direction direction) override {
    Called(direction == Direction::kUndo ? "ReadyToUndo" : "Ready")
        .IgnoreError();
    return ready;
  }
  std::vector<Blocker> Blockers() const override {
    Called("Blockers").IgnoreError();
    ready = change = Attempt::Done();  // the next time
    return {};
  }
  std::uintptr_t UnwindsUpTo(const ThreadRef&) const override {
    Called("UnwindsUpTo").IgnoreError();
    return StoppedWorld::kAllCounts;
  }
  Attempt Apply(const StoppedWorld&) override {
    Called("Apply").IgnoreError();
    return change;
  }
  Attempt Undo(const StoppedWorld&) override {
    Called("Undo").IgnoreError();
    return change;
  }
  absl::Status CanUndo() const override { return Called("CanUndo"); }
  void AfterStop(AttemptResult result) override {
    Called(result == AttemptResult::kApplied  ? "Applied"
           : result == AttemptResult::kUndone ? "Undone"
                                              : "Nothing")
        .IgnoreError();
  }

  mutable Attempt ready = Attempt::Done();
  mutable Attempt change = Attempt::Done();
  absl::Status before_stop;

 private:
  absl::Status Called(const char* function) const {
    observed_.Call(name_, function);
    return absl::OkStatus();
  }

  const std::string name_;
  Observed& observed_;
};

class MechanismTest : public testing::Test {
 protected:
  MechanismTest() {
    UpdatePlan plan("recorded");
    auto a = std::make_shared<Recording>("a", observed_);
    auto b = std::make_shared<Recording>("b", observed_);
    a_ = a.get();
    b_ = b.get();
    plan.Add(std::move(a));
    plan.Add(std::move(b));
    update_ = MakeUpdate(std::move(plan));
    patiently_.timeout = std::chrono::seconds(60);
  }

  absl::Status Apply() { return update_->Apply(patiently_); }
  absl::Status Undo() { return update_->Undo(patiently_); }
  // Without attempts whose threads were not held in time, as it happens on a
  // busy machine.
  std::vector<std::string> Calls() {
    const std::vector<std::string> none_held = {
        "run a.BeforeStop", "run b.BeforeStop", "run a.Nothing",
        "run b.Nothing"};
    std::vector<std::string> calls = observed_.TakeCalls();
    while (true) {
      const auto attempt = std::search(calls.begin(), calls.end(),
                                       none_held.begin(), none_held.end());
      if (attempt == calls.end()) return calls;
      calls.erase(attempt, attempt + 4);
    }
  }

  Observed observed_;
  Recording* a_;
  Recording* b_;
  std::unique_ptr<Update> update_;
  ApplyOptions patiently_;
};

TEST_F(MechanismTest, OrderOfApplyAndUndo) {
  ASSERT_EQ(Apply(), absl::OkStatus());
  EXPECT_THAT(Calls(),
              ElementsAre("run a.Prepare", "run b.Prepare", "run a.BeforeStop",
                          "run b.BeforeStop",  //
                          "held a.Ready", "held b.Ready", "held a.Apply",
                          "held b.Apply",  //
                          "run a.Applied", "run b.Applied"));
  ASSERT_EQ(Undo(), absl::OkStatus());
  EXPECT_THAT(Calls(), ElementsAre("run a.BeforeStop", "run b.BeforeStop",  //
                                   "held a.ReadyToUndo", "held b.ReadyToUndo",
                                   "held b.Undo", "held a.Undo",  //
                                   "run a.Undone", "run b.Undone"));
  const std::vector<std::string> questions = observed_.TakeQuestions();
  for (const char* const question :
       {"run a.MustBeQuiescent", "run b.MustBeQuiescent", "run a.CanUndo",
        "run b.CanUndo", "held a.UnwindsUpTo"}) {
    EXPECT_THAT(questions, testing::Contains(question));
  }
}

TEST_F(MechanismTest, OrderWhenItIsNotYet) {
  a_->ready = Attempt::NotYet("a moment");
  ASSERT_EQ(Apply(), absl::OkStatus());
  EXPECT_THAT(Calls(),
              ElementsAre("run a.Prepare", "run b.Prepare", "run a.BeforeStop",
                          "run b.BeforeStop",  //
                          "held a.Ready", "held b.Ready",
                          "run a.Blockers",  //
                          "run a.Nothing", "run b.Nothing", "run a.BeforeStop",
                          "run b.BeforeStop",  //
                          "held a.Ready", "held b.Ready", "held a.Apply",
                          "held b.Apply",  //
                          "run a.Applied", "run b.Applied"));
  b_->ready = Attempt::NotYet("a moment");
  ASSERT_EQ(Undo(), absl::OkStatus());
  EXPECT_THAT(Calls(),
              ElementsAre("run a.BeforeStop", "run b.BeforeStop",  //
                          "held a.ReadyToUndo", "held b.ReadyToUndo",
                          "run b.Blockers",  //
                          "run a.Nothing", "run b.Nothing", "run a.BeforeStop",
                          "run b.BeforeStop",  //
                          "held a.ReadyToUndo", "held b.ReadyToUndo",
                          "held b.Undo", "held a.Undo",  //
                          "run a.Undone", "run b.Undone"));
}

// A mechanism that finds out only when it is applied: those before it are
// rolled back, and it is tried again.
TEST_F(MechanismTest, OrderWhenAChangeIsNotYet) {
  b_->change = Attempt::NotYet("a moment");
  ASSERT_EQ(Apply(), absl::OkStatus());
  EXPECT_THAT(Calls(),
              ElementsAre("run a.Prepare", "run b.Prepare", "run a.BeforeStop",
                          "run b.BeforeStop",  //
                          "held a.Ready", "held b.Ready", "held a.Apply",
                          "held b.Apply", "held a.Undo",  //
                          "run b.Blockers", "run a.Nothing", "run b.Nothing",
                          "run a.BeforeStop", "run b.BeforeStop",  //
                          "held a.Ready", "held b.Ready", "held a.Apply",
                          "held b.Apply",  //
                          "run a.Applied", "run b.Applied"));
}

TEST_F(MechanismTest, OrderWhenOneFails) {
  observed_.Throw("b.Apply");
  EXPECT_TRUE(absl::IsInternal(Apply()));
  EXPECT_THAT(Calls(),
              ElementsAre("run a.Prepare", "run b.Prepare", "run a.BeforeStop",
                          "run b.BeforeStop",  //
                          "held a.Ready", "held b.Ready", "held a.Apply",
                          "held b.Apply", "held a.Undo",  //
                          "run a.Nothing", "run b.Nothing"));
  ASSERT_EQ(Apply(), absl::OkStatus());
  Calls();
  observed_.Throw("a.Undo");
  EXPECT_TRUE(absl::IsInternal(Undo()));
  EXPECT_THAT(Calls(),
              ElementsAre("run a.BeforeStop", "run b.BeforeStop",  //
                          "held a.ReadyToUndo", "held b.ReadyToUndo",
                          "held b.Undo", "held a.Undo", "held b.Apply",  //
                          "run a.Nothing", "run b.Nothing"));
}

TEST_F(MechanismTest, NothingIsDoneUnlessAllAreReady) {
  b_->ready = Attempt::Failed(absl::UnavailableError("never"));
  absl::Status status = Apply();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(status.message(), "step b: never");
  EXPECT_EQ(update_->Progress().phase, UpdatePhase::kPrepared);
  EXPECT_THAT(Calls(),
              ElementsAre("run a.Prepare", "run b.Prepare", "run a.BeforeStop",
                          "run b.BeforeStop",              //
                          "held a.Ready", "held b.Ready",  //
                          "run a.Nothing", "run b.Nothing"));
  b_->ready = Attempt::Done();
  ASSERT_EQ(Apply(), absl::OkStatus());
  Calls();
  a_->ready = Attempt::Failed(absl::UnavailableError("never"));
  EXPECT_EQ(Undo().message(), "step a: never");
  EXPECT_EQ(update_->Progress().phase, UpdatePhase::kApplied);
  EXPECT_THAT(Calls(), ElementsAre("run a.BeforeStop", "run b.BeforeStop",
                                   "held a.ReadyToUndo",  //
                                   "run a.Nothing", "run b.Nothing"));
}

TEST_F(MechanismTest, AnErrorBeforeTheStopGivesItUp) {
  a_->before_stop = absl::UnavailableError("no memory");
  absl::Status status = Apply();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(status.message(), "step a: no memory");
  EXPECT_EQ(update_->Progress().phase, UpdatePhase::kPrepared);
  EXPECT_THAT(Calls(),
              ElementsAre("run a.Prepare", "run b.Prepare", "run a.BeforeStop",
                          "run a.Nothing", "run b.Nothing"));
  a_->before_stop = absl::OkStatus();
  ASSERT_EQ(Apply(), absl::OkStatus());
  b_->before_stop = absl::UnavailableError("no memory");
  EXPECT_TRUE(absl::IsUnavailable(Undo()));
  EXPECT_EQ(update_->Progress().phase, UpdatePhase::kApplied);
  b_->before_stop = absl::OkStatus();
  ASSERT_EQ(Undo(), absl::OkStatus());
}

TEST_F(MechanismTest, AnExceptionIsAnErrorWhereverItIsThrown) {
  for (const std::string function : {"Prepare", "MustBeQuiescent", "BeforeStop",
                                     "Ready", "UnwindsUpTo", "Apply"}) {
    SCOPED_TRACE(function);
    observed_.Throw("b." + function);
    const absl::Status status = Apply();
    EXPECT_TRUE(absl::IsInternal(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(StartsWith("step b: "), HasSubstr("no " + function)));
  }
  ASSERT_EQ(Apply(), absl::OkStatus());
  observed_.Throw("b.CanUndo", 2);
  EXPECT_TRUE(absl::IsInternal(update_->CanUndo()));
  EXPECT_THAT(std::string(Undo().message()),
              AllOf(HasSubstr("cannot be undone"), HasSubstr("no CanUndo")));
  for (const std::string function : {"MustBeQuiescent", "BeforeStop",
                                     "ReadyToUndo", "UnwindsUpTo", "Undo"}) {
    SCOPED_TRACE(function);
    observed_.Throw("b." + function);
    const absl::Status status = Undo();
    EXPECT_TRUE(absl::IsInternal(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(StartsWith("step b: "), HasSubstr("no " + function)));
    EXPECT_EQ(update_->Progress().phase, UpdatePhase::kApplied);
  }
  EXPECT_EQ(Undo(), absl::OkStatus());
}

TEST_F(MechanismTest, BlockersThatThrowDoNotEndTheWaiting) {
  a_->ready = Attempt::NotYet("a moment");
  observed_.Throw("a.Blockers");
  testing::internal::CaptureStderr();
  EXPECT_EQ(Apply(), absl::OkStatus());
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("step a"), HasSubstr("no Blockers")));
}

TEST_F(MechanismTest, WhoNamesTheThreadsMayThrow) {
  ApplyOptions options = patiently_;
  options.threads = []() -> std::vector<ThreadRef> {
    throw std::runtime_error("no threads");
  };
  EXPECT_TRUE(absl::IsInternal(update_->Apply(options)));
  EXPECT_EQ(update_->Progress().phase, UpdatePhase::kPrepared);
  EXPECT_EQ(Apply(), absl::OkStatus());
}

TEST_F(MechanismTest, AnExceptionOfWhatAnswersNothingIsSaid) {
  for (const bool apply : {true, false}) {
    const std::string told = apply ? "Applied" : "Undone";
    Calls();
    observed_.Throw("a." + told);
    testing::internal::CaptureStderr();
    EXPECT_EQ(apply ? Apply() : Undo(), absl::OkStatus());
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                AllOf(HasSubstr("step a"), HasSubstr("no " + told)));
    EXPECT_EQ(update_->Progress().phase,
              apply ? UpdatePhase::kApplied : UpdatePhase::kPrepared);
    // The others are told nevertheless.
    EXPECT_THAT(Calls(), testing::Contains("run b." + told));
  }
}

TEST(MechanismDeathTest, AnUpdateIsUsedByOneAtATime) {
  Update* used = nullptr;
  bool is_asked = false;
  UpdatePlan plan("shared");
  plan.When([&] {
    if (used != nullptr) {
      is_asked = true;
      EXPECT_DEATH(used->Apply({}).IgnoreError(),
                   "'shared' is used by two threads at once");
      EXPECT_DEATH(used->Prepare().IgnoreError(), "two threads at once");
    }
    return Attempt::Done();
  });
  const auto update = MakeUpdate(std::move(plan));
  used = update.get();
  EXPECT_EQ(update->Apply({}), absl::OkStatus());
  EXPECT_TRUE(is_asked);
}

}  // namespace
}  // namespace instar
