// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A running activation changes with everything else of a plan, or with nothing.

#include "updates/mechanisms/replace_when_held.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "base/testing/sanitizers.h"
#include "code/portable/needs_entries_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"
#include "updates/update.h"
#include "updates/update_plan.h"

namespace instar {
namespace held_test {

using testing::ElementsAre;
using testing::HasSubstr;

using List = std::vector<int>;

std::atomic<bool> go_on{false};
std::atomic<bool> is_half_way{false};
std::atomic<bool> waits_in_region{false};
std::atomic<int> destroyed{0};

struct Tracer {
  ~Tracer() { ++destroyed; }
};

// Half way it waits until it may go on, at an update point or in a region.
__attribute__((noinline)) void HalfWay() {
  is_half_way = true;
  while (!go_on) {
    if (waits_in_region) {
      Blocking([] {
        while (!go_on) std::this_thread::yield();
      });
    }
    UpdatePoint();
  }
}

__attribute__((noinline)) int Fill(List& list, int size) {
  int next = 0;
  const ExposedValue expose_list("list", list);
  const ExposedValue expose_next("next", next);
  const ExposedValue expose_size("size", size);
  const Tracer tracer;
  for (; next < size; ++next) {
    if (next == size / 2) HalfWay();
    list.push_back(next);
  }
  return 1;
}
// Of calls that begin later.
int NewFill(List& list, int size) {
  for (int i = 0; i < size; ++i) list.push_back(100 + i);
  return 2;
}

std::atomic<int> states{0};
struct State {
  State(List* l, int n, int s) : list(l), next(n), size(s) { ++states; }
  State(const State& other) : State(other.list, other.next, other.size) {}
  ~State() { --states; }

  List* list;
  int next;
  int size;
};
int FillRest(State state) {
  for (int i = state.next; i < state.size; ++i) state.list->push_back(100 + i);
  return 3;
}

absl::StatusOr<State> Capture(StackBounds frame) {
  INSTAR_ASSIGN_OR_RETURN(List* const list, FindExposed<List>("list", frame));
  INSTAR_ASSIGN_OR_RETURN(const int next, ReadExposed<int>("next", frame));
  INSTAR_ASSIGN_OR_RETURN(const int size, ReadExposed<int>("size", frame));
  return State(list, next, size);
}

// What calls it, with something of its own in use.
__attribute__((noinline)) int CallFill(List& list, int size) {
  return 10 * Fill(list, size) + (size == 4 ? 0 : 1);
}
int NewCallFill(List&, int) { return -1; }

// A thread that fills a list once for all, and one that is half way there.
class Filling {
 public:
  Filling()
      : thread_(StartPassiveThread("fills", [this] {
          answer_ = CallFill(list_, 4);
          while (!stop_) UpdatePoint();
        })) {
    while (!is_half_way) std::this_thread::yield();
  }
  ~Filling() { Finish(); }
  void Finish() {
    go_on = stop_ = true;
    thread_.Join();
  }
  const List& list() const { return list_; }
  int answer() const { return answer_; }

 private:
  List list_;
  std::atomic<int> answer_{0};
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

// Steps of a climb, each by the version that takes it, as many as are allowed.
std::atomic<int> allowed{0};
std::atomic<int> taken{0};
std::string steps;  // read when they have been taken

class ReplaceWhenHeldTest : public testing::Test {
 protected:
  void SetUp() override {
    go_on = is_half_way = waits_in_region = false;
    destroyed = allowed = taken = 0;
    steps.clear();
  }
  void TearDown() override { EXPECT_EQ(states, 0); }
};

class Base {
 public:
  __attribute__((noinline)) int Count(int to) {
    const ExposedValue expose_at("at", at_);
    const ExposedValue expose_self("self", *this);
    for (at_ = 0; at_ < to; ++at_) {
      if (at_ == 2) HalfWay();
    }
    return at_;
  }
  int at_ = 0;
};
int CountOn(int at) { return 1000 + at; }
absl::StatusOr<int> CaptureCount(StackBounds frame) {
  return ReadExposed<int>("at", frame);
}

// As Filling, of a member function.
class Counting {
 public:
  Counting()
      : thread_(StartPassiveThread("counts", [this] {
          answer_ = base_.Count(5);
          while (!stop_) UpdatePoint();
        })) {
    while (!is_half_way) std::this_thread::yield();
  }
  ~Counting() { Finish(); }
  int Finish() {
    go_on = stop_ = true;
    thread_.Join();
    return answer_;
  }

 private:
  Base base_;
  std::atomic<int> answer_{0};
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

TEST_F(ReplaceWhenHeldTest, NothingIsReplacedIfALaterStepFails) {
  Counting counting;
  {
    UpdatePlan plan("count");
    plan.Add(ReplaceWhenHeld("counts", &Base::Count, &CountOn, &CaptureCount));
    plan.After([] { return absl::InternalError("the last step"); });
    const auto update = MakeUpdate(std::move(plan));
    const absl::Status applied = update->Apply(kPatiently);
    EXPECT_TRUE(absl::IsInternal(applied)) << applied;
  }
  EXPECT_EQ(counting.Finish(), 5);
}

void CountInstead() {}

// It would go on in one of them, through frames that the other says are gone.
TEST_F(ReplaceWhenHeldTest, OneOfAThreadAndNoRebootOfIt) {
  Counting counting;
  for (const bool reboots : {false, true}) {
    UpdatePlan plan("count");
    plan.Add(ReplaceWhenHeld("counts", &Base::Count, &CountOn, &CaptureCount));
    if (reboots) {
      plan.Reboot("counts", &CountInstead);
    } else {
      plan.Add(
          ReplaceWhenHeld("counts", &Base::Count, &CountOn, &CaptureCount));
    }
    const absl::Status applied = MakeUpdate(std::move(plan))->Apply(kPatiently);
    EXPECT_TRUE(absl::IsInvalidArgument(applied)) << applied;
    EXPECT_THAT(std::string(applied.message()), HasSubstr("thread 'counts'"));
  }
  EXPECT_EQ(counting.Finish(), 5);
}

TEST_F(ReplaceWhenHeldTest, AMemberFunctionAlone) {
  Counting counting;
  UpdatePlan plan("count");
  plan.Add(ReplaceWhenHeld("counts", &Base::Count, &CountOn, &CaptureCount));
  const auto update = MakeUpdate(std::move(plan));
  EXPECT_EQ(update->Prepare()->steps[0],
            "replace the activation of "
            "instar::held_test::Base::Count(int) in thread 'counts'");
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  EXPECT_EQ(counting.Finish(), 1002);
}

TEST_F(ReplaceWhenHeldTest, ACheckChangesNothing) {
  Counting counting;
  UpdatePlan plan("count");
  plan.Add(ReplaceWhenHeld("counts", &Base::Count, &CountOn, &CaptureCount));
  const auto update = MakeUpdate(std::move(plan));
  absl::StatusOr<std::vector<Blocker>> blockers;
  do {
    blockers = update->Rehearse({});
    ASSERT_TRUE(blockers.ok()) << blockers.status();
  } while (!blockers->empty());
  EXPECT_EQ(counting.Finish(), 5);
}

TEST_F(ReplaceWhenHeldTest, ItsCallerIsActive) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Filling filling;
  UpdatePlan plan("caller");
  plan.Redefine(&CallFill, &NewCallFill);
  plan.Add(ReplaceWhenHeld("fills", &Fill, &FillRest, &Capture));
  const absl::Status applied = MakeUpdate(std::move(plan))->Apply(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(applied)) << applied;
  EXPECT_THAT(std::string(applied.message()), HasSubstr("CallFill"));
  filling.Finish();
  EXPECT_THAT(filling.list(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(filling.answer(), 10);
}

TEST_F(ReplaceWhenHeldTest, NotYetWhileItWaitsElsewhere) {
  waits_in_region = true;
  Counting counting;
  UpdatePlan plan("count");
  plan.Add(ReplaceWhenHeld("counts", &Base::Count, &CountOn, &CaptureCount));
  const auto update = MakeUpdate(std::move(plan));
  const absl::Status applied = update->Apply(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(applied)) << applied;
  EXPECT_THAT(std::string(applied.message()), HasSubstr("at no update point"));
  EXPECT_EQ(counting.Finish(), 5);
}

TEST_F(ReplaceWhenHeldTest, WhereItIsNotActiveNothingIsDone) {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("counts", [&] {
    while (!stop) UpdatePoint();
  });
  const absl::Cleanup end = [&] { stop = true; };
  UpdatePlan plan("count");
  plan.Add(ReplaceWhenHeld("counts", &Base::Count, &CountOn, &CaptureCount));
  EXPECT_TRUE(MakeUpdate(std::move(plan))->Apply(kPatiently).ok());
}

TEST_F(ReplaceWhenHeldTest, WhatCaptureAnswers) {
  Counting counting;
  for (const bool is_final : {false, true}) {
    UpdatePlan plan("count");
    plan.Add(ReplaceWhenHeld("counts", &Base::Count, &CountOn,
                             [is_final](StackBounds) -> absl::StatusOr<int> {
                               if (is_final) return absl::AbortedError("no");
                               return absl::NotFoundError("not there");
                             }));
    const absl::Status applied =
        MakeUpdate(std::move(plan))->Apply(is_final ? kPatiently : kBriefly);
    EXPECT_EQ(applied.code(), is_final ? absl::StatusCode::kAborted
                                       : absl::StatusCode::kDeadlineExceeded)
        << applied;
  }
  EXPECT_EQ(counting.Finish(), 5);
}

__attribute__((noinline)) void Step(char version) {
  // Acquire and release of `taken`: the test reads `steps`.
  while (taken == allowed) UpdatePoint();
  steps += version;
  ++taken;
}
__attribute__((noinline)) int Climb() {
  int at = 0;
  const ExposedValue expose_at("at", at);
  const Tracer tracer;
  for (; at < 6; ++at) Step('o');
  return at;
}
__attribute__((noinline)) int ClimbRest(int at) {
  const ExposedValue expose_at("at", at);
  for (; at < 6; ++at) Step('n');
  return 10 * at;
}
__attribute__((noinline)) int ClimbOldRest(int at) {
  const ExposedValue expose_at("at", at);
  for (; at < 6; ++at) Step('o');
  return 100 * at;
}
// Of climbs that begin later.
__attribute__((noinline)) int NewClimb() { return 1 + ClimbRest(0); }

absl::StatusOr<int> CaptureStep(StackBounds) { return ReadExposed<int>("at"); }

std::shared_ptr<Mechanism> ReplaceClimb() {
  return ReplaceWhenHeld(
      "climber",
      {Replacement(&Climb, &ClimbRest, &CaptureStep),
       Replacement(&ClimbOldRest, &ClimbRest, &CaptureStep)},
      /*when_undone=*/
      {Replacement(&NewClimb, &ClimbOldRest, &CaptureStep),
       Replacement(&ClimbRest, &ClimbOldRest, &CaptureStep)});
}

class Climbing {
 public:
  Climbing()
      : thread_(StartPassiveThread("climber", [this] {
          while (!stop_) {
            answers_ += std::to_string(Climb()) + " ";
            ++climbs_;
          }
        })) {}
  ~Climbing() { Finish(); }
  void Take(int count) {
    const int goal = allowed + count;
    allowed = goal;
    while (taken != goal) std::this_thread::yield();
  }
  std::string Finish() {
    stop_ = true;
    const int now = climbs_;
    while (thread_.state() != ThreadState::kEnded && climbs_ == now) {
      allowed = taken + 1;
    }
    thread_.Join();
    return answers_;
  }

 private:
  std::string answers_;
  std::atomic<int> climbs_{0};
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

// How an update is written: in a plan, or in the thread.
std::unique_ptr<Update> MakeClimbUpdate(bool in_a_plan) {
  if (in_a_plan) {
    UpdatePlan plan("climb");
    plan.Redefine(&Climb, &NewClimb);
    plan.Add(ReplaceClimb());
    return MakeUpdate(std::move(plan));
  }
  ThreadUpdates threads("climb");
  threads.Add("climber", ReplaceClimb());
  threads.Add("climber", Redefine(&Climb, &NewClimb));
  return MakeUpdate(std::move(threads));
}

class ReplaceBothWaysTest : public ReplaceWhenHeldTest,
                            public testing::WithParamInterface<bool> {};

TEST_P(ReplaceBothWaysTest, AppliedAndUndoneHalfWay) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Climbing climbing;
  const auto update = MakeClimbUpdate(GetParam());
  ASSERT_TRUE(update->Prepare().ok());
  EXPECT_TRUE(update->Prepare()->can_undo.ok());
  const auto apply = [&] {
    const absl::Status applied = update->Apply(kPatiently);
    ASSERT_TRUE(applied.ok()) << applied;
  };
  const auto undo = [&] {
    const absl::Status undone = update->Undo(kPatiently);
    ASSERT_TRUE(undone.ok()) << undone;
  };
  climbing.Take(2);
  apply();
  EXPECT_EQ(destroyed, GetParam() ? destroyed.load() : 1);
  climbing.Take(2);
  undo();
  climbing.Take(1);
  apply();
  climbing.Take(1 + 2);  // two of another climb
  undo();
  climbing.Take(4);
  EXPECT_EQ(destroyed, 1);
  EXPECT_EQ(steps, "oonnonnnoooo");
  // Each is answered by the version that ended it, to the same caller.
  EXPECT_EQ(climbing.Finish().substr(0, 7), "60 600 ");
}

// All is put back by what takes an undo back.
TEST_P(ReplaceBothWaysTest, AFailedUndoChangesNothing) {
  Climbing climbing;
  UpdatePlan plan("climb");
  plan.Before([] { return absl::OkStatus(); },
              [] { return absl::InternalError("not undone"); });
  plan.Add(ReplaceClimb());
  const auto update = MakeUpdate(std::move(plan));
  climbing.Take(2);
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  climbing.Take(1);
  EXPECT_TRUE(absl::IsInternal(update->Undo(kPatiently)));
  climbing.Take(3);
  EXPECT_EQ(steps, "oonnnn");
  EXPECT_EQ(climbing.Finish().substr(0, 3), "60 ");
}

INSTANTIATE_TEST_SUITE_P(, ReplaceBothWaysTest, testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "InAPlan" : "InTheThread";
                         });

// The last: the function stays redefined.
TEST_F(ReplaceWhenHeldTest, WithARedefinitionOfTheSameFunction) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Filling filling;
  UpdatePlan plan("fill");
  plan.Redefine(&Fill, &NewFill);
  plan.Add(ReplaceWhenHeld("fills", &Fill, &FillRest, &Capture));
  const auto update = MakeUpdate(std::move(plan));
  const absl::Status applied = update->Apply(kPatiently);
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_TRUE(absl::IsFailedPrecondition(update->CanUndo()));
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Undo(kBriefly)));
  filling.Finish();
  EXPECT_THAT(filling.list(), ElementsAre(0, 1, 102, 103));
  EXPECT_EQ(filling.answer(), 30);
  EXPECT_EQ(destroyed, 1);
  List list;
  EXPECT_EQ(Fill(list, 2), 2);
  EXPECT_THAT(list, ElementsAre(100, 101));
}

}  // namespace held_test
}  // namespace instar
