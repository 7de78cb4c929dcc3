// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Plans that wait: for what, for how long, and how they stop waiting.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/entries_here.h"
#include "code/program_text_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/attempt.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/thread_ref.h"
#include "threads/update_point.h"
#include "updates/testing/functions_for_test.h"
#include "updates/testing/within.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using code_test::ProgramText;
using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

void Until(const std::function<bool()>& is) {
  while (!is()) std::this_thread::yield();
}

// Apply() or Undo() on a thread of its own.
class InBackground {
 public:
  explicit InBackground(std::function<absl::Status()> work)
      : thread_([this, work = std::move(work)] {
          status_ = work();
          is_done_ = true;
        }) {}
  ~InBackground() {
    if (thread_.joinable()) thread_.join();
  }
  bool is_done() const { return is_done_; }
  absl::Status Join() {
    thread_.join();
    return status_;
  }

 private:
  absl::Status status_;
  std::atomic<bool> is_done_{false};
  std::thread thread_;
};

// Is inside of Relay(), in whichever version, until it is told to leave.
class Inside {
 public:
  ~Inside() { leave_ = true; }
  void Enter() {
    leave_ = false;
    enter_ = true;
    Until([this] { return is_inside_.load(); });
  }
  void Leave() { leave_ = true; }
  long rounds() const { return thread_.rounds() + rounds_inside_; }
  int wrong() const { return wrong_; }
  ThreadRef ref() const { return thread_.ref(); }

 private:
  void RunIfTold() {
    if (!enter_.exchange(false)) return;
    wrong_ += Relay(3, [this] {
                is_inside_ = true;
                while (!leave_) {
                  UpdatePoint();
                  ++rounds_inside_;
                }
              }) != 0;
    is_inside_ = false;
  }

  std::atomic<bool> enter_{false}, leave_{false}, is_inside_{false};
  std::atomic<long> rounds_inside_{0};
  std::atomic<int> wrong_{0};
  Looping thread_{"inside", [this] { RunIfTold(); }};
};

void ExpectGoesOn(const Inside& inside) {
  const long seen = inside.rounds();
  Until([&] { return inside.rounds() >= seen + 3; });
}

// Changes what Price() answers, and waits for Relay().
UpdatePlan Protocol() {
  UpdatePlan plan("protocol");
  plan.Redefine(Price, &Price2);
  plan.Redefine(Send, &Send2);
  plan.Redefine(Receive, &Receive2);
  plan.Redefine(Relay, &Relay2);
  return plan;
}

// A blocker that `is`, as soon as there is one of what goes on now.
Blocker AwaitBlocker(const Update& update,
                     const std::function<bool(const Blocker&)>& is) {
  while (true) {
    const UpdateProgress progress = update.Progress();
    if (progress.phase == UpdatePhase::kWaiting ||
        progress.phase == UpdatePhase::kChanging) {
      for (const Blocker& blocker : progress.blockers) {
        if (is(blocker)) return blocker;
      }
    }
    std::this_thread::yield();
  }
}

bool IsActive(const Blocker& blocker) {
  return absl::StrContains(blocker.reason, "active");
}

__attribute__((noinline)) void ComputeForLong(const std::atomic<bool>& stop,
                                              std::atomic<long>& rounds) {
  while (!stop) ++rounds;
}

TEST(UpdatePlanWaitingTest, AThreadThatComesToNoUpdatePointIsNamed) {
  for (const ThreadKind kind : {ThreadKind::kPassive, ThreadKind::kActive}) {
    const std::string before = ProgramText();
    std::atomic<bool> stop{false};
    std::atomic<long> rounds{0};
    ControlledThread busy = StartThread(
        "busy", kind, [&stop, &rounds] { ComputeForLong(stop, rounds); });
    const auto let_it_end = absl::MakeCleanup([&] { stop = true; });
    Until([&] { return rounds > 0; });
    Inside other;
    const auto update = MakeUpdate(Protocol());
    absl::Status status;
    do {  // on a busy machine it may be unknown where it is
      status = update->Apply(Within(std::chrono::milliseconds(300)));
      ASSERT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    } while (!absl::StrContains(status.message(), "ComputeForLong"));
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("'protocol' was not applied in"),
                      HasSubstr("thread 'busy' ("),
                      HasSubstr("it comes to no update point"),
                      HasSubstr("an UpdatePoint() in its loop")));
    EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
    EXPECT_THAT(
        update->Progress().blockers,
        Contains(AllOf(Field(&Blocker::thread, "busy"),
                       Field(&Blocker::tid, busy.ref().tid()),
                       // The innermost one, which may be what that calls.
                       Field(&Blocker::function, testing::Not("")),
                       Field(&Blocker::frame, 0))));
    // All is as before, and all go on.
    EXPECT_EQ(Price(1), 101);
    const long seen = rounds;
    Until([&] { return rounds > seen; });
    ExpectGoesOn(other);
    // Entries at which active threads are held are given back in time.
    Until([&] { return ProgramText() == before; });
    stop = true;
    EXPECT_EQ(update->Apply(kPatiently), absl::OkStatus());
    EXPECT_EQ(Price(1), 201);
    EXPECT_EQ(update->Undo(kPatiently), absl::OkStatus());
    Until([&] { return ProgramText() == before; });
  }
}

TEST(UpdatePlanWaitingTest, AFunctionThatStaysActiveIsNamed) {
  Inside inside;
  inside.Enter();
  const auto update = MakeUpdate(Protocol());
  InBackground applying([&] { return update->Apply(kPatiently); });
  const Blocker first = AwaitBlocker(*update, IsActive);
  EXPECT_EQ(first.thread, "inside");
  EXPECT_EQ(first.tid, inside.ref().tid());
  EXPECT_THAT(first.function, HasSubstr("Relay"));
  EXPECT_GT(first.frame, 0);  // there is at least what it calls
  EXPECT_THAT(first.remedy, HasSubstr("wait until it returns"));
  // The longer it is there, the longer it is said to be.
  AwaitBlocker(*update, [&](const Blocker& blocker) {
    return IsActive(blocker) && blocker.since > first.since;
  });
  EXPECT_GT(update->Progress().attempts, 1);
  EXPECT_EQ(Price(1), 101);
  ExpectGoesOn(inside);
  EXPECT_FALSE(applying.is_done());

  inside.Leave();
  EXPECT_EQ(applying.Join(), absl::OkStatus());
  EXPECT_TRUE(update->Progress().blockers.empty());
  EXPECT_EQ(Price(1), 201);
  EXPECT_EQ(update->Undo(kPatiently), absl::OkStatus());
}

TEST(UpdatePlanWaitingTest, ItCanBeCancelled) {
  Inside inside;
  inside.Enter();
  const std::string before = ProgramText();
  const auto update = MakeUpdate(Protocol());
  for (int i = 0; i < 3; ++i) {
    InBackground applying([&] { return update->Apply(kPatiently); });
    AwaitBlocker(*update, IsActive);
    update->Cancel();
    const absl::Status status = applying.Join();
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
    EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
    EXPECT_EQ(Price(1), 101);
    EXPECT_TRUE(ProgramText() == before);
    ExpectGoesOn(inside);
  }
  inside.Leave();
  EXPECT_EQ(update->Apply(kPatiently), absl::OkStatus());
  EXPECT_EQ(Price(1), 201);

  inside.Enter();
  InBackground undoing([&] { return update->Undo(kPatiently); });
  AwaitBlocker(*update, IsActive);
  update->Cancel();
  EXPECT_TRUE(absl::IsCancelled(undoing.Join()));
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
  EXPECT_EQ(Price(1), 201);
  inside.Leave();
  EXPECT_EQ(update->Undo(kPatiently), absl::OkStatus());
  EXPECT_EQ(Price(1), 101);
}

TEST(UpdatePlanWaitingTest, CancellingNothingHasNoEffect) {
  const auto update = MakeUpdate(Protocol());
  update->Cancel();
  EXPECT_EQ(update->Apply(kPatiently), absl::OkStatus());
  update->Cancel();
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
  EXPECT_EQ(update->Undo(kPatiently), absl::OkStatus());
}

TEST(UpdatePlanWaitingTest, ARequirementIsAskedUntilItIsMet) {
  UpdatePlan plan = Protocol();
  int asked = 0;
  std::atomic<bool> is_met{false};
  plan.When([&] {
    ++asked;
    return is_met ? Attempt::Done() : Attempt::NotYet("a request is open");
  });
  int held = 0;
  const auto count = [&held] {
    ++held;
    return absl::OkStatus();
  };
  plan.Before(count, count);
  const auto update = MakeUpdate(std::move(plan));
  const absl::Status status = update->Apply(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("a request is open"));
  InBackground applying([&] { return update->Apply(kPatiently); });
  AwaitBlocker(*update, [](const Blocker& blocker) {
    return blocker.reason == "a request is open" && blocker.since.count() > 0;
  });
  is_met = true;
  EXPECT_EQ(applying.Join(), absl::OkStatus());
  EXPECT_EQ(Price(1), 201);
  EXPECT_GE(asked, 4);
  EXPECT_EQ(held, 1);
  // Undoing requires nothing.
  is_met = false;
  EXPECT_EQ(update->Undo(kPatiently), absl::OkStatus());
}

TEST(UpdatePlanWaitingTest, ARequirementMaySayNever) {
  for (const bool throws : {false, true}) {
    UpdatePlan plan = Protocol();
    int left = 5;
    plan.When([&left, throws] {
      if (left-- > 0) return Attempt::NotYet("it is day");
      if (throws) throw std::runtime_error("the schema is another");
      return Attempt::Failed(absl::InternalError("the schema is another"));
    });
    const auto update = MakeUpdate(std::move(plan));
    const absl::Status status = update->Apply(kPatiently);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("the schema is another"));
    EXPECT_EQ(left, -1);
    EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
    EXPECT_EQ(Price(1), 101);
  }
}

TEST(UpdatePlanWaitingTest, ThreadsMayStartAndEndMeanwhile) {
  std::atomic<bool> stop{false};
  std::atomic<long> begun{0}, wrong{0};
  const auto start = [&](ThreadKind kind) {
    while (!stop) {
      const ControlledThread short_lived = StartThread("short", kind, [&] {
        wrong += Relay(3, [] { UpdatePoint(); }) != 0;
        ++begun;
      });
    }
  };
  std::thread one(start, ThreadKind::kPassive);
  std::thread two(start, ThreadKind::kActive);
  const auto let_them_end = absl::MakeCleanup([&] {
    stop = true;
    one.join();
    two.join();
  });
  Inside inside;
  const auto update = MakeUpdate(Protocol());
  const auto await_more = [&begun] {
    const long seen = begun;
    Until([&] { return begun > seen + 20; });
  };
  for (const bool apply : {true, false, true, false}) {
    inside.Enter();
    InBackground working([&] {
      return apply ? update->Apply(kPatiently) : update->Undo(kPatiently);
    });
    AwaitBlocker(*update, [](const Blocker& blocker) {
      return blocker.thread == "inside";
    });
    await_more();
    EXPECT_FALSE(working.is_done());
    inside.Leave();
    EXPECT_EQ(working.Join(), absl::OkStatus());
    EXPECT_EQ(Price(1), apply ? 201 : 101);
    await_more();
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(inside.wrong(), 0);
}

TEST(UpdatePlanWaitingTest, UndoingWaitsForTheNewVersion) {
  Inside inside;
  const auto update = MakeUpdate(Protocol());
  ASSERT_EQ(update->Apply(kPatiently), absl::OkStatus());
  inside.Enter();
  const absl::Status status = update->Undo(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("'protocol' was not undone in"));
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
  EXPECT_EQ(Price(1), 201);
  InBackground undoing([&] { return update->Undo(kPatiently); });
  const Blocker blocker = AwaitBlocker(*update, IsActive);
  EXPECT_EQ(blocker.thread, "inside");
  EXPECT_THAT(blocker.function, HasSubstr("Relay"));
  // A slot's version is a function like any other.
  EXPECT_THAT(blocker.reason,
              HasSubstr(absl::StrCat(
                  kHasFunctionEntries ? "in its version " : "active: ",
                  "instar::updates_test::Relay2(int")));
  ExpectGoesOn(inside);
  EXPECT_FALSE(undoing.is_done());
  inside.Leave();
  EXPECT_EQ(undoing.Join(), absl::OkStatus());
  EXPECT_EQ(Price(1), 101);
  EXPECT_EQ(inside.wrong(), 0);
}

TEST(UpdatePlanWaitingTest, WhatCannotBeUndoneSaysSoBeforehand) {
  UpdatePlan hook = Protocol();
  hook.After([] { return absl::OkStatus(); });
  const auto update = MakeUpdate(std::move(hook));
  ASSERT_EQ(update->Apply(kPatiently), absl::OkStatus());
  const absl::Status status = update->CanUndo();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("'protocol' cannot be undone"),
                    HasSubstr("the hook after the update")));
  EXPECT_EQ(update->Undo(kPatiently), status);
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
  EXPECT_EQ(Price(1), 201);
}

}  // namespace
}  // namespace instar
