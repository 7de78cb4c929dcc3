// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an update says of a thread, an update point or an exposed value that the
// program has not.

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/exposed_values.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

// Before any thread is disturbed, and at once: not when the time is up.
TEST(UnknownNamesTest, AThreadThatNeverWasIsRefusedByAPlan) {
  StartPassiveThread("dispatcher", [] {}).Join();
  UpdatePlan plan("typo");
  plan.Reboot("dispacher", [] {});
  const auto update = MakeUpdate(std::move(plan));
  for (const absl::Status& refused :
       {update->Prepare().status(), update->Rehearse(kPatiently).status(),
        update->Apply(kPatiently)}) {
    EXPECT_TRUE(absl::IsNotFound(refused)) << refused;
    EXPECT_THAT(MessageOf(refused),
                HasSubstr("'dispacher'; similar: 'dispatcher'"));
  }
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kNew);
}

TEST(UnknownNamesTest, AThreadThatNeverWasIsRefusedByThreadUpdates) {
  StartPassiveThread("librarian", [] {}).Join();
  ThreadUpdates threads("typo");
  threads.SetUpdateFunction("libarian",
                            [](UpdateContext&) { return Attempt::Done(); });
  const auto update = MakeUpdate(std::move(threads));
  for (const absl::Status& refused :
       {update->Prepare().status(), update->Apply(kPatiently)}) {
    EXPECT_TRUE(absl::IsNotFound(refused)) << refused;
    EXPECT_THAT(MessageOf(refused),
                AllOf(HasSubstr("thread 'libarian': update function: "),
                      HasSubstr("; similar: 'librarian'")));
  }
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kNew);
}

// A thread that has ended may come again, and one that the update starts comes.
TEST(UnknownNamesTest, WhatHasEndedOrIsToStartIsKnown) {
  StartPassiveThread("gardener", [] {}).Join();
  ThreadUpdates threads("later");
  const auto nothing = [](UpdateContext&) { return Attempt::Done(); };
  threads.Start(NewThread("baker", ThreadKind::kPassive, [] {}));
  threads.Then();
  threads.SetUpdateFunction("baker", nothing);
  threads.SetUpdateFunction("gardener", nothing);
  const auto forecast = MakeUpdate(std::move(threads))->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->obstacles,
              ElementsAre("there is no controlled thread 'baker'",
                          "there is no controlled thread 'gardener'"));
}

// It may come: a remark, with what threads have passed meanwhile.
TEST(UnknownNamesTest, APointToWhichNobodyHasComeIsRemarked) {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("clerk", [&] {
    while (!stop) UpdatePoint("after an order");
  });
  const auto let_it_end = absl::MakeCleanup([&] { stop = true; });
  UpdatePlan plan("typo");
  plan.Before([] { return absl::OkStatus(); });
  plan.AtUpdatePoint("after a order");
  const auto update = MakeUpdate(std::move(plan));
  ApplyOptions options;
  std::vector<std::string> remarks;
  options.remarks = &remarks;
  const auto is_similar = HasSubstr(
      "no thread has come to an update point 'after a order' so far, and none "
      "is declared; similar: 'after an order'");
  absl::StatusOr<std::vector<Blocker>> blockers;
  do {
    remarks.clear();
    blockers = update->Rehearse(options);
    ASSERT_TRUE(blockers.ok()) << blockers.status();
    ASSERT_FALSE(remarks.empty());
  } while (remarks.back().find("similar") == std::string::npos);
  EXPECT_THAT(remarks.back(), is_similar);
  blockers = update->Rehearse(options);
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  ASSERT_FALSE(blockers->empty());
  EXPECT_EQ(blockers->front().thread, "clerk");
  EXPECT_THAT(blockers->front().reason, is_similar);
}

// Such a thread may be seen while it passes another point.
TEST(UnknownNamesTest, APointThatIsPassedIsNotTakenForTheOneThatIsAskedFor) {
  ControlledThread thread = StartPassiveThread("clerk", [] {});
  updates_internal::Obstacles obstacles(/*most=*/8);
  obstacles.AddMissing(
      {{thread.ref(), ThreadState::kAtUpdatePoint, /*functions=*/{}}},
      "before the moon");
  const std::vector<Blocker> blockers = obstacles.ToBlockers();
  ASSERT_EQ(blockers.size(), 1u);
  EXPECT_THAT(blockers[0].reason,
              AllOf(HasSubstr("it comes to no update point 'before the moon'"),
                    HasSubstr("no thread has come to an update point")));
}

// The function that exposes it may not have begun: the update waits.
TEST(UnknownNamesTest, AValueThatNobodyExposesIsInTheWay) {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("waiter", [&] {
    int table = 7;
    const ExposedValue expose("table", table);
    while (!stop) UpdatePoint();
  });
  const auto let_it_end = absl::MakeCleanup([&] { stop = true; });
  UpdatePlan plan("typo");
  plan.Reboot("waiter",
              MainWith(
                  +[](int) {},
                  [](const HeldThread&) { return ReadExposed<int>("tabel"); }));
  const auto update = MakeUpdate(std::move(plan));
  absl::StatusOr<std::vector<Blocker>> blockers;
  do {
    blockers = update->Rehearse({});
    ASSERT_TRUE(blockers.ok()) << blockers.status();
    ASSERT_FALSE(blockers->empty());
  } while (blockers->front().reason.find("similar") == std::string::npos);
  EXPECT_THAT(blockers->front().reason,
              HasSubstr("no function exposes 'tabel' on this thread; similar: "
                        "'table'; exposed are: table (int)"));
}

}  // namespace
}  // namespace instar
