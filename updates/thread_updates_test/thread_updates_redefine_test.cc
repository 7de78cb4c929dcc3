// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Update functions of each thread with redefinitions among them.

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace updates_test;  // NOLINT: the functions under test

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

UpdateFunction Count(std::atomic<int>& count, int step) {
  return [&count, step](UpdateContext&) {
    count += step;
    return Attempt::Done();
  };
}

// Each has a stack of its own that is unwound.
TEST(ThreadUpdatesRedefineTest, ARebootOfAllThreadsOfAName) {
  std::atomic<int> old_ones{0};
  std::atomic<int> new_ones{0};
  std::atomic<bool> stop{false};
  const auto run = [&stop](std::atomic<int>& count) {
    ++count;
    const absl::Cleanup gone = [&count] { --count; };
    while (!stop) UpdatePoint();
  };
  const auto old_main = [&] { run(old_ones); };
  const auto new_main = [&] { run(new_ones); };
  std::vector<ControlledThread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(StartPassiveThread("worker", old_main));
  }
  const absl::Cleanup end = [&] { stop = true; };
  ThreadUpdates threads("reboot");
  threads.Reboot("worker", new_main, old_main);
  const auto update = MakeUpdate(std::move(threads));
  for (int i = 0; i < 2; ++i) {
    while (old_ones != 3) std::this_thread::yield();
    const absl::Status applied = update->Apply(kPatiently);
    ASSERT_TRUE(applied.ok()) << applied;
    ASSERT_EQ(old_ones, 0);
    while (new_ones != 3) std::this_thread::yield();
    const absl::Status undone = update->Undo(kPatiently);
    ASSERT_TRUE(undone.ok()) << undone;
    ASSERT_EQ(new_ones, 0);
  }
}

// PyMoult (HotSWUP'13), figures 5 and 6: one thread redefines a function,
// another is rebooted, each at its own time.
TEST(ThreadUpdatesRedefineTest, RedefinitionAndReboot) {
  std::atomic<int> price{0};
  std::atomic<char> display{' '};
  std::atomic<bool> stop{false};
  Looping socket("socket", [&] { price = Price(1); });
  const auto old_main = [&] {
    while (!stop) {
      display = 'o';
      UpdatePoint();
    }
  };
  const auto new_main = [&] {
    while (!stop) {
      display = 'n';
      UpdatePoint();
    }
  };
  ControlledThread manager = StartActiveThread("site_manager", old_main);
  ThreadUpdates threads("ratings");
  threads.Add("socket", Redefine(&Price, &Price2));
  threads.Reboot("site_manager", new_main, old_main);
  const auto update = MakeUpdate(std::move(threads));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->steps, ElementsAre("thread 'socket': redefine "
                                           "instar::updates_test::Price(int)",
                                           "thread 'site_manager': reboot "
                                           "thread 'site_manager'"));
  EXPECT_THAT(forecast->obstacles, IsEmpty());
  EXPECT_THAT(forecast->remarks, IsEmpty());
  for (int i = 0; i < 3; ++i) {
    const absl::Status applied = update->Apply(kPatiently);
    ASSERT_TRUE(applied.ok()) << applied;
    while (price != 201 || display != 'n') {
      std::this_thread::yield();
    }
    EXPECT_EQ(update->hold_times().threads, 2);
    EXPECT_GT(update->hold_times().median.count(), 0);
    EXPECT_GE(update->hold_times().maximum, update->hold_times().median);
    const absl::Status undone = update->Undo(kPatiently);
    ASSERT_TRUE(undone.ok()) << undone;
    while (price != 101 || display != 'o') {
      std::this_thread::yield();
    }
  }
  stop = true;
}

TEST(ThreadUpdatesRedefineTest, StartNeedsNoThread) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  ThreadUpdates threads("at once");
  threads.Start(Redefine(&Price, &Price2), Stacks::kAllThreads);
  const auto update = MakeUpdate(std::move(threads));
  const absl::Status applied = update->Apply(kPatiently);
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(Price(1), 201);
  const absl::Status undone = update->Undo(kPatiently);
  ASSERT_TRUE(undone.ok()) << undone;
  EXPECT_EQ(Price(1), 101);
}

TEST(ThreadUpdatesRedefineTest, UndoGoesToAnotherThreadIfTheFirstHasEnded) {
  ThreadUpdates threads("replaced");
  threads.Add("thread", Redefine(&Price, &Price2));
  const auto update = MakeUpdate(std::move(threads));
  {
    Looping first("thread");
    ASSERT_TRUE(update->Apply(kPatiently).ok());
  }
  EXPECT_EQ(Price(1), 201);
  EXPECT_THAT(MessageOf(update->Undo(kBriefly)),
              HasSubstr("there is no controlled thread 'thread'"));
  Looping second("thread");
  EXPECT_TRUE(update->Undo(kPatiently).ok());
  EXPECT_EQ(Price(1), 101);
}

TEST(ThreadUpdatesRedefineTest, WhatCannotBePreparedDisturbsNobody) {
  std::atomic<int> done{0};
  Looping thread("thread");
  ThreadUpdates threads("unknown");
  threads.SetUpdateFunction("thread", Count(done, 1));
  threads.Add("thread", Redefine("no_such_function(int)", &Price2));
  const auto update = MakeUpdate(std::move(threads));
  const absl::Status refused = update->Prepare().status();
  EXPECT_THAT(MessageOf(refused), AllOf(HasSubstr("thread 'thread': "),
                                        HasSubstr("no_such_function")));
  EXPECT_EQ(update->Apply(kPatiently), refused);
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kNew);
  EXPECT_EQ(done, 0);
}

}  // namespace
}  // namespace instar
