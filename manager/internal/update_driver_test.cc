// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/update_driver.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/internal/update_driver_fixture.h"

namespace instar {
namespace manager_internal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

// Whoever asked has the answer sooner.
TEST_F(UpdateDriverTest, WhatMadeAnUpdateQuickIsEndedBehindTheAnswer) {
  auto script = std::make_shared<Script>();
  std::atomic<bool> was_settled{true};
  driver_->Apply(std::make_unique<ScriptedUpdate>("a", script, &log_), kLong,
                 [&](const absl::StatusOr<UpdateReport>& report) {
                   EXPECT_TRUE(report.ok()) << report.status();
                   was_settled = script->is_settled.load();
                 });
  EXPECT_TRUE(ApplyNow("b").ok());
  EXPECT_FALSE(was_settled);
  EXPECT_TRUE(script->is_settled);
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
  driver_->Load(ModuleSource("/nowhere/module.so"), kLong, kByHand,
                answer.Callback());
  const absl::Status status = answer.Await();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/module.so"));
}

// The system's log says who it was; the journal has the same events.
TEST_F(UpdateDriverTest, EachOutcomeIsLogged) {
  const std::string self = absl::StrCat("instar[", getpid(), "]: ");
  ASSERT_TRUE(ApplyNow("a").ok());
  EXPECT_THAT(system_log_.Next(),
              testing::StartsWith(absl::StrCat(
                  "<85>", self, "event=applied program=\"shop\" update=\"a\" ",
                  "user=", geteuid(), " detail=\"0 threads held")));
  ASSERT_TRUE(Undo().Await().ok());
  EXPECT_THAT(system_log_.Next(),
              testing::StartsWith(absl::StrCat(
                  "<85>", self, "event=undone program=",
                  "\"shop\" update=\"a\" user=123 ", "client=4321 detail=\"")));
  Answer answer;
  driver_->Load(ModuleSource("/nowhere/m.so"), kLong, kByHand,
                answer.Callback());
  EXPECT_FALSE(answer.Await().ok());
  EXPECT_THAT(
      system_log_.Next(),
      testing::StartsWith(absl::StrCat(
          "<84>", self, "event=failed program=\"shop\" ",
          "update=\"/nowhere/m.so\" user=123 client=4321 ",
          "module=\"/nowhere/m.so\" detail=\"/nowhere/m.so cannot be")));
  EXPECT_FALSE(Undo("b").Await().ok());
  EXPECT_THAT(system_log_.Next(), HasSubstr("detail=\"to be undone: no "));
  EXPECT_THAT(JournalEvents(), ElementsAre("applied a", "undone a",
                                           "failed /nowhere/m.so", "failed b"));
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
