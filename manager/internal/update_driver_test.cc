// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/update_driver.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/event_log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/internal/journal.h"

namespace instar {
namespace manager_internal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::chrono::seconds kLong(60);
constexpr std::chrono::milliseconds kShort(20);
// Of what looks again and again for seconds.
constexpr std::chrono::microseconds kPause(200);

// An answer that comes later.
class Answer {
 public:
  UpdateDriver::Done<UpdateReport> Callback() {
    return [state = state_](absl::StatusOr<UpdateReport> report) {
      std::lock_guard<std::mutex> lock(state->lock);
      EXPECT_FALSE(state->status.has_value()) << "answered twice";
      state->status = report.status();
      state->changed.notify_all();
    };
  }
  absl::Status Await() {
    std::unique_lock<std::mutex> lock(state_->lock);
    state_->changed.wait(lock, [&] { return state_->status.has_value(); });
    return *state_->status;
  }
  bool has_come() const {
    std::lock_guard<std::mutex> lock(state_->lock);
    return state_->status.has_value();
  }

 private:
  struct State {
    std::mutex lock;
    std::condition_variable changed;
    std::optional<absl::Status> status;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// What an update of the tests does, and what it has done.
struct Script {
  absl::Status prepare, apply, undo, can_undo;
  std::function<Attempt()> requirements = [] { return Attempt::Done(); };
  bool waits = false;     // Apply() lasts until it is cancelled or let through
  bool is_stuck = false;  // it neither gives up nor can be cancelled
  std::atomic<bool> go{false};
  std::atomic<bool> is_waiting{false};
  std::atomic<bool> is_gone{false};
  // Of Apply() and Undo(), when they are over, and of the destructor.
  std::function<void()> when_asked = [] {}, at_end = [] {};
};

// Waits there until it may go on.
class Gate {
 public:
  std::function<void()> Waiter() {
    return [state = state_] {
      state->is_inside = true;
      while (!state->is_open) std::this_thread::sleep_for(kPause);
    };
  }
  void AwaitVisitor() const {
    while (!state_->is_inside) std::this_thread::sleep_for(kPause);
  }
  void Open() { state_->is_open = true; }

 private:
  struct State {
    std::atomic<bool> is_inside{false}, is_open{false};
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

class ScriptedUpdate final : public Update {
 public:
  ScriptedUpdate(std::string name, std::shared_ptr<Script> script,
                 EventLog* log)
      : name_(std::move(name)), script_(std::move(script)), log_(log) {}
  ~ScriptedUpdate() override {
    script_->at_end();
    script_->is_gone = true;
  }

  const std::string& name() const override { return name_; }
  absl::StatusOr<UpdateForecast> Prepare() override {
    if (!script_->prepare.ok()) return script_->prepare;
    phase_ = UpdatePhase::kPrepared;
    return UpdateForecast();
  }
  Attempt Requirements() override { return script_->requirements(); }
  absl::Status Apply(const ApplyOptions& options) override {
    cancelled_ = false;  // a cancellation that comes too early is lost
    const auto until = std::chrono::steady_clock::now() + options.timeout;
    script_->is_waiting = true;
    while (script_->waits && !script_->go) {
      const bool is_late = std::chrono::steady_clock::now() > until;
      const bool is_cancelled = cancelled_;
      if ((is_late || is_cancelled) && script_->is_stuck) {
        phase_ = UpdatePhase::kBroken;
      } else if (is_cancelled) {
        return absl::CancelledError("cancelled");
      } else if (is_late) {
        return absl::DeadlineExceededError("no safe moment");
      }
      std::this_thread::sleep_for(kPause);
    }
    if (!script_->apply.ok()) return script_->apply;
    phase_ = UpdatePhase::kApplied;
    log_->Add(absl::StrCat("+", name_));
    return absl::OkStatus();
  }
  absl::Status CanUndo() const override {
    script_->when_asked();
    return script_->can_undo;
  }
  absl::Status Undo(const ApplyOptions&) override {
    if (script_->undo.ok()) log_->Add(absl::StrCat("-", name_));
    return script_->undo;
  }
  void Cancel() override { cancelled_ = true; }
  UpdateProgress Progress() const override {
    UpdateProgress progress;
    progress.phase = phase_;
    if (phase_ == UpdatePhase::kBroken) {
      progress.blockers.emplace_back().reason = "the hook still runs";
    }
    return progress;
  }
  HoldTimes hold_times() const override { return {}; }
  std::vector<ThreadRef> StartedThreads() const override { return {}; }

 private:
  const std::string name_;
  const std::shared_ptr<Script> script_;
  EventLog* const log_;
  std::atomic<UpdatePhase> phase_{UpdatePhase::kNew};
  std::atomic<bool> cancelled_{false};
};

class UpdateDriverTest : public testing::Test {
 protected:
  UpdateDriverTest()
      : path_(absl::StrCat(testing::TempDir(), "/driver_", getpid())),
        journal_(std::make_shared<Journal>(path_)),
        driver_(UpdateDriver::Make(journal_, nullptr)) {
    EXPECT_TRUE(driver_->Start().ok());
  }
  ~UpdateDriverTest() override {
    driver_->Stop();
    // Its worker ends in any case, if later, and may write until then.
    const std::weak_ptr<UpdateDriver> left = driver_;
    driver_ = nullptr;
    while (!left.expired()) std::this_thread::yield();
    unlink(path_.c_str());
  }

  Answer Apply(const std::string& name, std::shared_ptr<Script> script,
               std::chrono::nanoseconds timeout = kLong) {
    Answer answer;
    driver_->Apply(
        std::make_unique<ScriptedUpdate>(name, std::move(script), &log_),
        timeout, answer.Callback());
    return answer;
  }
  absl::Status ApplyNow(const std::string& name) {
    return Apply(name, std::make_shared<Script>()).Await();
  }
  Answer Undo(const std::string& name = "") {
    Answer answer;
    driver_->Undo(name, kLong, answer.Callback());
    return answer;
  }
  std::vector<std::string> AppliedNames() {
    std::vector<std::string> names;
    for (const AppliedReport& report : driver_->Applied()) {
      names.push_back(report.update);
    }
    return names;
  }
  std::vector<std::string> JournalEvents() {
    std::vector<std::string> events;
    auto entries = journal_->Read();
    EXPECT_TRUE(entries.ok()) << entries.status();
    for (const JournalEntry& entry : *entries) {
      events.push_back(absl::StrCat(entry.event, " ", entry.update));
    }
    return events;
  }
  // Until the driver has looked at it and it waits for something of its own.
  std::string AwaitWaitsFor(std::size_t place) {
    while (true) {
      const std::vector<PendingReport> pending = driver_->Pending();
      if (pending.size() > place && !pending[place].waits_for.empty() &&
          pending[place].waits_for != "its turn") {
        return pending[place].waits_for;
      }
      std::this_thread::yield();
    }
  }

  const std::string path_;
  EventLog log_;
  const std::shared_ptr<Journal> journal_;
  std::shared_ptr<UpdateDriver> driver_;
};

// The answer comes, and nothing else begins before it has returned.
TEST_F(UpdateDriverTest, CodeThatDoesNotReturn) {
  ASSERT_EQ(ApplyNow("first"), absl::OkStatus());  // the driver is ready
  for (const bool is_cancelled : {false, true}) {
    auto script = std::make_shared<Script>();
    script->waits = script->is_stuck = true;
    script->apply = absl::DataLossError("the hook has returned since");
    Answer answer;
    while (!script->is_waiting) {  // until it came to that in time
      answer = Apply("stuck", script,
                     is_cancelled ? kLong : std::chrono::seconds(1));
      while (!script->is_waiting && !answer.has_come()) {
        std::this_thread::yield();
      }
    }
    if (is_cancelled) {
      EXPECT_TRUE(driver_->Cancel("stuck").ok());
    }
    const absl::Status status = answer.Await();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("the hook still runs"));
    Answer next = Apply("next", std::make_shared<Script>());
    const std::vector<PendingReport> pending = driver_->Pending();
    ASSERT_EQ(pending.size(), 2u);
    EXPECT_EQ(pending[0].progress.phase, UpdatePhase::kBroken);
    EXPECT_FALSE(next.has_come());
    script->go = true;
    EXPECT_EQ(next.Await(), absl::OkStatus());
    EXPECT_EQ(Undo().Await(), absl::OkStatus());
  }
}

// The driver's end does not wait for it. What that code still uses is there.
TEST_F(UpdateDriverTest, ItsEndWithCodeThatDoesNotReturn) {
  std::weak_ptr<UpdateDriver> left;
  auto script = std::make_shared<Script>();
  script->waits = script->is_stuck = true;
  script->apply = absl::DataLossError("the hook has returned since");
  {
    auto driver = UpdateDriver::Make(journal_, nullptr);
    left = driver;
    ASSERT_EQ(driver->Start(), absl::OkStatus());
    Answer answer;
    driver->Apply(std::make_unique<ScriptedUpdate>("stuck", script, &log_),
                  kLong, answer.Callback());
    while (!script->is_waiting) std::this_thread::yield();
    driver->Stop();
    EXPECT_TRUE(absl::IsDataLoss(answer.Await())) << answer.Await();
  }
  EXPECT_FALSE(left.expired());
  EXPECT_FALSE(script->is_gone);
  script->go = true;
  while (!left.expired()) std::this_thread::yield();
  EXPECT_TRUE(script->is_gone);
}

// Of code that does not return before anything is changed, the same; and if it
// does return, nothing is.
TEST_F(UpdateDriverTest, RequirementsThatDoNotReturn) {
  for (const bool ends : {false, true}) {
    std::weak_ptr<UpdateDriver> left;
    auto script = std::make_shared<Script>();
    auto asked = std::make_shared<std::atomic<bool>>(false);
    auto go = std::make_shared<std::atomic<bool>>(false);
    script->requirements = [asked, go] {
      *asked = true;
      while (!*go) std::this_thread::sleep_for(kPause);
      return Attempt::Done();
    };
    auto driver = UpdateDriver::Make(journal_, nullptr);
    left = driver;
    ASSERT_EQ(driver->Start(), absl::OkStatus());
    Answer answer;
    while (!*asked) {  // until it came to that in time
      answer = Answer();
      driver->Apply(std::make_unique<ScriptedUpdate>("stuck", script, &log_),
                    ends ? kLong : kShort, answer.Callback());
      while (!*asked && !answer.has_come()) std::this_thread::yield();
    }
    if (ends) {
      driver->Stop();
      EXPECT_TRUE(absl::IsCancelled(answer.Await())) << answer.Await();
    } else {
      EXPECT_TRUE(absl::IsDeadlineExceeded(answer.Await())) << answer.Await();
    }
    EXPECT_THAT(
        std::string(answer.Await().message()),
        testing::AllOf(HasSubstr("what says whether its requirements are met "
                                 "still runs, in thread "),
                       HasSubstr("nothing was changed")));
    *go = true;
    if (!ends) {
      Answer next;
      driver->Apply(std::make_unique<ScriptedUpdate>(
                        "next", std::make_shared<Script>(), &log_),
                    kLong, next.Callback());
      EXPECT_EQ(next.Await(), absl::OkStatus());
      EXPECT_THAT(log_.Events(), ElementsAre("+next"));
      driver->Stop();
    }
    driver = nullptr;
    while (!left.expired()) std::this_thread::yield();
  }
  EXPECT_THAT(log_.Events(), ElementsAre("+next"));
}

// What is called when an update has taken effect does not return.
TEST_F(UpdateDriverTest, CodeThatDoesNotReturnAfterwards) {
  Gate gate;
  auto script = std::make_shared<Script>();
  script->when_asked = gate.Waiter();
  Answer answer = Apply("stuck", script);
  gate.AwaitVisitor();
  EXPECT_TRUE(driver_->Cancel("stuck").ok());
  const absl::Status status = answer.Await();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(HasSubstr("what says whether it can be undone "
                                       "still runs, in thread "),
                             HasSubstr("the update has taken effect")));
  Answer next = Apply("next", std::make_shared<Script>());
  const std::vector<PendingReport> pending = driver_->Pending();
  ASSERT_EQ(pending.size(), 2u);
  EXPECT_THAT(pending[0].waits_for, HasSubstr("still runs, in thread "));
  EXPECT_FALSE(next.has_come());
  gate.Open();
  EXPECT_EQ(next.Await(), absl::OkStatus());
  EXPECT_THAT(AppliedNames(), ElementsAre("stuck", "next"));
}

// Nor do destructors: of what is refused, and of what waits and is given up.
TEST_F(UpdateDriverTest, DestructorsThatDoNotReturn) {
  Gate gate;
  auto refused = std::make_shared<Script>();
  refused->prepare = absl::InvalidArgumentError("does not fit");
  refused->at_end = gate.Waiter();
  Answer answer = Apply("refused", refused);
  gate.AwaitVisitor();
  EXPECT_TRUE(driver_->Cancel("refused").ok());
  const absl::Status status = answer.Await();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(HasSubstr("a destructor of what it was made of "
                                       "still runs, in thread "),
                             HasSubstr("does not fit")));
  EXPECT_FALSE(refused->is_gone);
  gate.Open();

  Gate waiting_gate;
  auto waiting = std::make_shared<Script>();
  waiting->requirements = [] { return Attempt::NotYet("never"); };
  waiting->at_end = waiting_gate.Waiter();
  answer = Apply("waiting", waiting);
  AwaitWaitsFor(0);
  EXPECT_TRUE(driver_->Cancel("waiting").ok());
  EXPECT_TRUE(absl::IsCancelled(answer.Await()));
  waiting_gate.AwaitVisitor();
  Answer next = Apply("next", std::make_shared<Script>());
  driver_->Stop();
  EXPECT_TRUE(absl::IsCancelled(next.Await()));
  EXPECT_FALSE(waiting->is_gone);
  waiting_gate.Open();
  while (!waiting->is_gone) std::this_thread::yield();
}

// The end comes while the worker is in the destructor of the last update, one
// that was given up before its turn came.
TEST_F(UpdateDriverTest, ItsEndDuringADestructor) {
  auto first = std::make_shared<Script>();
  first->waits = true;
  first->apply = absl::InternalError("nothing is applied");
  Answer answer = Apply("first", first);
  while (!first->is_waiting) std::this_thread::yield();
  Gate gate;
  auto last = std::make_shared<Script>();
  last->at_end = gate.Waiter();
  Answer last_answer = Apply("last", last);
  EXPECT_TRUE(driver_->Cancel("last").ok());
  EXPECT_TRUE(absl::IsCancelled(last_answer.Await()));
  first->go = true;
  EXPECT_TRUE(absl::IsInternal(answer.Await()));
  gate.AwaitVisitor();
  std::thread end([&] { driver_->Stop(); });
  // It waits for that destructor, until the end comes or since it came.
  EXPECT_THAT(std::string(ApplyNow("late").message()),
              HasSubstr("the program ends"));
  gate.Open();
  end.join();
  EXPECT_TRUE(last->is_gone);
}

TEST_F(UpdateDriverTest, UpdatesAreAppliedInOrderAndUndoneBackwards) {
  Answer a = Apply("a", std::make_shared<Script>());
  Answer b = Apply("b", std::make_shared<Script>());
  EXPECT_TRUE(a.Await().ok());
  EXPECT_TRUE(b.Await().ok());
  EXPECT_THAT(AppliedNames(), ElementsAre("a", "b"));
  EXPECT_FALSE(driver_->Applied()[0].can_undo.ok());
  EXPECT_TRUE(driver_->Applied()[1].can_undo.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Undo("a").Await()));
  EXPECT_TRUE(Undo("b").Await().ok());
  EXPECT_TRUE(Undo().Await().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Undo().Await()));
  EXPECT_THAT(log_.Events(), ElementsAre("+a", "+b", "-b", "-a"));
  EXPECT_THAT(AppliedNames(), IsEmpty());
  EXPECT_THAT(JournalEvents(), ElementsAre("applied a", "applied b", "failed a",
                                           "undone b", "undone a", "failed "));
}

TEST_F(UpdateDriverTest, AnUpdateIsAppliedOnceAndAgainWhenUndone) {
  EXPECT_TRUE(ApplyNow("a").ok());
  const absl::Status again = ApplyNow("a");
  EXPECT_TRUE(absl::IsAlreadyExists(again)) << again;
  EXPECT_THAT(std::string(again.message()), HasSubstr("undo it first"));
  EXPECT_TRUE(Undo().Await().ok());
  EXPECT_TRUE(ApplyNow("a").ok());
}

TEST_F(UpdateDriverTest, WhatIsRefusedIsGoneWhenTheAnswerComes) {
  auto script = std::make_shared<Script>();
  script->prepare = absl::FailedPreconditionError("does not fit");
  UpdateDriver::Done<UpdateReport> done =
      [script](absl::StatusOr<UpdateReport>) { EXPECT_TRUE(script->is_gone); };
  driver_->Apply(std::make_unique<ScriptedUpdate>("a", script, &log_), kLong,
                 std::move(done));
  EXPECT_TRUE(ApplyNow("b").ok());
  EXPECT_TRUE(script->is_gone);
  EXPECT_THAT(AppliedNames(), ElementsAre("b"));
}

// PyMoult v2: an update is postponed until the one that it depends on is
// applied; one that can never be is dropped, and the next goes on.
TEST_F(UpdateDriverTest, OneThatWaitsForAnotherDoesNotKeepIt) {
  auto waits = std::make_shared<Script>();
  std::atomic<bool> met{false};
  waits->requirements = [&met] {
    return met ? Attempt::Done() : Attempt::NotYet("for b to be there");
  };
  Answer a = Apply("a", waits);
  EXPECT_EQ(AwaitWaitsFor(0), "for b to be there");
  EXPECT_TRUE(ApplyNow("b").ok());
  EXPECT_FALSE(a.has_come());
  met = true;
  EXPECT_TRUE(a.Await().ok());
  EXPECT_THAT(log_.Events(), ElementsAre("+b", "+a"));
}

TEST_F(UpdateDriverTest, OneThatCanNeverBeIsDropped) {
  auto never = std::make_shared<Script>();
  never->requirements = [] {
    return Attempt::Failed(absl::FailedPreconditionError("never"));
  };
  Answer a = Apply("a", never);
  Answer b = Apply("b", std::make_shared<Script>());
  EXPECT_TRUE(absl::IsFailedPrecondition(a.Await()));
  EXPECT_TRUE(b.Await().ok());
}

TEST_F(UpdateDriverTest, TheTimeOfOneThatWaitsForItsTurnRunsToo) {
  auto slow = std::make_shared<Script>();
  slow->waits = true;
  Answer a = Apply("a", slow);
  while (!slow->is_waiting) std::this_thread::yield();
  const absl::Status late =
      Apply("b", std::make_shared<Script>(), kShort).Await();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("its turn"));
  EXPECT_FALSE(a.has_come());
  slow->go = true;
  EXPECT_TRUE(a.Await().ok());
}

TEST_F(UpdateDriverTest, AConditionTimesOutAndSucceedsLater) {
  auto slow = std::make_shared<Script>();
  slow->waits = true;
  const absl::Status late = Apply("a", slow, kShort).Await();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_TRUE(ApplyNow("a").ok());
}

TEST_F(UpdateDriverTest, TheLongestTimeLimitDoesNotPassAtOnce) {
  auto waiting = std::make_shared<Script>();
  std::atomic<bool> asked{false};
  waiting->requirements = [&] {
    return asked.exchange(true) ? Attempt::Done() : Attempt::NotYet("once");
  };
  const absl::Status status =
      Apply("one", waiting, std::chrono::nanoseconds::max()).Await();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(UpdateDriverTest, CancelReachesWhatWorksAndWhatWaits) {
  EXPECT_TRUE(absl::IsNotFound(driver_->Cancel("").status()));
  for (int i = 0; i < 50; ++i) {
    auto slow = std::make_shared<Script>();
    slow->waits = true;
    Answer a = Apply("a", slow);
    Answer b = Apply("b", std::make_shared<Script>());
    // At any moment of its life, in most rounds.
    if (i % 2 == 0) {
      while (!slow->is_waiting) std::this_thread::yield();
    }
    const auto names = driver_->Cancel("");
    ASSERT_TRUE(names.ok()) << names.status();
    EXPECT_THAT(*names, ElementsAre("a", "b"));
    EXPECT_TRUE(absl::IsCancelled(a.Await()));
    EXPECT_TRUE(absl::IsCancelled(b.Await()));
  }
  EXPECT_TRUE(absl::IsNotFound(driver_->Cancel("").status()));
  EXPECT_THAT(log_.Events(), IsEmpty());
}

TEST_F(UpdateDriverTest, CancelByName) {
  auto slow = std::make_shared<Script>();
  slow->waits = true;
  Answer a = Apply("a", slow);
  Answer b = Apply("b", std::make_shared<Script>());
  while (!slow->is_waiting) std::this_thread::yield();
  EXPECT_TRUE(absl::IsNotFound(driver_->Cancel("c").status()));
  EXPECT_TRUE(driver_->Cancel("a").ok());
  EXPECT_TRUE(absl::IsCancelled(a.Await()));
  EXPECT_TRUE(b.Await().ok());
}

TEST_F(UpdateDriverTest, ItsEndGivesUpWhatIsPending) {
  auto slow = std::make_shared<Script>();
  slow->waits = true;
  auto requires_more = std::make_shared<Script>();
  requires_more->requirements = [] { return Attempt::NotYet("never comes"); };
  Answer a = Apply("a", requires_more);
  AwaitWaitsFor(0);
  Answer b = Apply("b", slow);
  Answer c = Apply("c", std::make_shared<Script>());
  while (!slow->is_waiting) std::this_thread::yield();
  driver_->Stop();
  EXPECT_TRUE(absl::IsCancelled(a.Await()));
  EXPECT_TRUE(absl::IsCancelled(b.Await()));
  EXPECT_TRUE(absl::IsCancelled(c.Await()));
  EXPECT_TRUE(slow->is_gone);
  EXPECT_TRUE(requires_more->is_gone);
}

TEST_F(UpdateDriverTest, WhatCannotBeUndoneIsSaidBeforehand) {
  auto script = std::make_shared<Script>();
  script->can_undo = absl::FailedPreconditionError("no way back");
  EXPECT_TRUE(Apply("a", script).Await().ok());
  EXPECT_EQ(driver_->Applied()[0].can_undo.message(), "no way back");
  EXPECT_EQ(Undo().Await().message(), "no way back");
  script->can_undo = absl::OkStatus();
  script->undo = absl::InternalError("stuck");
  EXPECT_EQ(Undo().Await().message(), "stuck");
  EXPECT_THAT(AppliedNames(), ElementsAre("a"));
}

TEST_F(UpdateDriverTest, WhatIsNoModuleIsRefused) {
  Answer answer;
  driver_->Load("/nowhere/module.so", kLong, answer.Callback());
  const absl::Status status = answer.Await();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/module.so"));
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
