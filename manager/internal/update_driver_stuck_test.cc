// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The driver, with updates whose code does not return.

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/testing/gate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/internal/update_driver.h"
#include "manager/internal/update_driver_fixture.h"

namespace instar {
namespace manager_internal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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
    Gate gate;
    script->requirements = [pass = gate.Waiter()] {
      pass();
      return Attempt::Done();
    };
    auto driver = UpdateDriver::Make(journal_, nullptr);
    left = driver;
    ASSERT_EQ(driver->Start(), absl::OkStatus());
    Answer answer;
    while (!gate.has_visitor()) {  // until it came to that in time
      answer = Answer();
      driver->Apply(std::make_unique<ScriptedUpdate>("stuck", script, &log_),
                    ends ? kLong : kShort, answer.Callback());
      while (!gate.has_visitor() && !answer.has_come()) {
        std::this_thread::yield();
      }
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
    gate.Open();
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

}  // namespace
}  // namespace manager_internal
}  // namespace instar
