// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A test fixture for authors of updates: threads that run the program's code, a
// plan or update functions for each thread applied to them and taken back,
// without a manager and without a module.
//
//   using AddRatingsTest = instar::UpdateFixture;
//
//   TEST_F(AddRatingsTest, CommandsTakeRatings) {
//     FillCompany(10);
//     StartThread("socket", [] { DoCommand("order 1 chair Brest"); });
//     Make("ratings", &AddRatings);
//     Apply();
//     EXPECT_THAT(DoCommand("rate 4 chair Brest"), StartsWith("rated"));
//     AwaitSteps();                       // the thread goes on, as before
//     Undo();
//     EXPECT_THAT(DoCommand("rate 4 chair Brest"), StartsWith("unknown"));
//   }
//
// The test links the update's sources like any other, and the program's
// libraries as updatable ones; it is an updatable_cc_test, which is linked as a
// program that can be updated (tools/defs.bzl).
//
// What is applied at the end of a test is undone if it can be, and the test
// fails if that fails. Then the threads are stopped and joined.
//
// Lifetime: threads and updates outlive the body of the test. What they use
// must, too: members of a class derived from the fixture, static variables, not
// variables of the body.
//
// Threads: all calls are made by the thread that runs the test, which is not a
// controlled one and holds no lock that the threads need while it calls
// Apply(), Undo() or AwaitSteps().

#ifndef INSTAR_UPDATES_TESTING_UPDATE_FIXTURE_H_
#define INSTAR_UPDATES_TESTING_UPDATE_FIXTURE_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/thread_state.h"
#include "updates/thread_updates.h"
#include "updates/update.h"
#include "updates/update_plan.h"

namespace instar {

class UpdateFixture : public testing::Test {
 protected:
  // For Apply() and Undo(): longer than any test takes.
  static constexpr std::chrono::seconds kPatience{60};

  UpdateFixture();
  ~UpdateFixture() override;
  void TearDown() override;

  // A controlled thread that calls `step` over and over, with an update point
  // after each call, until the test ends.
  void StartThread(std::string name, std::function<void()> step,
                   ThreadKind kind = ThreadKind::kPassive);
  // A controlled thread with a main function of its own, which returns soon
  // after is_stopping() is true; so does what it is rebooted into.
  void StartMain(std::string name, std::function<void()> main,
                 ThreadKind kind = ThreadKind::kPassive);
  bool is_stopping() const;

  // Until each thread of StartThread() has begun a call of its step and ended
  // it, from now on; those that have been rebooted are not waited for.
  void AwaitSteps();

  // The update that the function describes. An error that it returns fails the
  // test. What was made before must not be applied any more.
  void Make(const std::string& name,
            const std::function<absl::Status(UpdatePlan&)>& describe);
  void Make(const std::string& name,
            const std::function<absl::Status(ThreadUpdates&)>& describe);
  // For all that is not here: Prepare(), Progress(), ...
  Update& update();

  // Fail the test if the update does.
  void Apply();
  void Undo();
  // For updates that are to be refused, or to wait.
  absl::Status TryApply(std::chrono::nanoseconds timeout);
  absl::Status TryUndo(std::chrono::nanoseconds timeout);

 private:
  struct Stepper;

  ApplyOptions WithTimeout(std::chrono::nanoseconds timeout) const;

  // Relaxed: the threads' ends are ordered by joining them.
  std::atomic<bool> is_stopping_{false};
  std::unique_ptr<Update> update_;
  std::vector<std::shared_ptr<Stepper>> steppers_;
  std::vector<ControlledThread> threads_;
};

}  // namespace instar

#endif  // INSTAR_UPDATES_TESTING_UPDATE_FIXTURE_H_
