// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What updates of threads say of what they have done: remarks, hold times, and
// the threads that they have started.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/testing/looping.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/new_thread.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"
#include "updates/thread_updates_test/counting.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Nothing : Mechanism {
  std::string name() const override { return "do nothing"; }
  absl::Status Prepare(UpdateForecast& forecast) override {
    forecast.Warn("it does nothing");
    return absl::OkStatus();
  }
  Attempt Apply(const StoppedWorld&) override { return Attempt::Done(); }
  Attempt Undo(const StoppedWorld&) override { return Attempt::Done(); }
};
struct NothingAlone final : Nothing {
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kEverything, Stacks::kThisThread};
  }
};

TEST(ThreadUpdatesReportTest, RemarksAreThoseOfItsChanges) {
  Looping one("one");
  ThreadUpdates threads("nothing");
  threads.Add("one", std::make_shared<Nothing>());
  const auto update = MakeUpdate(std::move(threads));
  std::vector<std::string> remarks = {"of the module"};
  ApplyOptions options = kPatiently;
  options.remarks = &remarks;
  const auto blockers = update->Rehearse(options);
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  EXPECT_THAT(remarks, ElementsAre("of the module"));
  const absl::Status applied = update->Apply(options);
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_THAT(remarks, ElementsAre("of the module", "it does nothing"));
}

TEST(ThreadUpdatesReportTest, AllThatWereHeldAreCounted) {
  Looping one("one"), two("two"), three("three");
  for (const Looping* each : {&one, &two, &three}) each->AwaitRounds();
  ThreadUpdates threads("nothing");
  threads.Start(std::make_shared<Nothing>());       // holds three
  threads.Add("one", std::make_shared<Nothing>());  // and two, by the third
  threads.Add("two", std::make_shared<NothingAlone>());
  const auto update = MakeUpdate(std::move(threads));
  for (int i = 0; i < 2; ++i) {
    const absl::Status applied = update->Apply(kPatiently);
    ASSERT_TRUE(applied.ok()) << applied;
    EXPECT_EQ(update->hold_times().threads, 3 + 3 + 1);
    EXPECT_EQ(update->hold_times().by_signal, 0);
    EXPECT_GT(update->hold_times().maximum.count(), 0);
    const absl::Status undone = update->Undo(kPatiently);
    ASSERT_TRUE(undone.ok()) << undone;
    EXPECT_EQ(update->hold_times().threads, 3 + 3 + 1);
  }
}

TEST(ThreadUpdatesReportTest, ThoseThatWereStoppedByASignalAre) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> stop{false};
  std::thread other([&stop] {
    while (!stop) std::this_thread::yield();
  });
  const absl::Cleanup end = [&] {
    stop = true;
    other.join();
  };
  ThreadUpdates threads("nothing");
  threads.Start(std::make_shared<Nothing>(), Stacks::kAllThreads);
  const auto update = MakeUpdate(std::move(threads));
  const absl::Status applied = update->Apply(kPatiently);
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(update->hold_times().threads, 1);
  EXPECT_EQ(update->hold_times().by_signal, 1);
}

TEST(ThreadUpdatesReportTest, ThreadsThatItHasStarted) {
  ThreadUpdates threads("more");
  std::atomic<bool> stop{false};
  threads.Start(NewThread("new", ThreadKind::kPassive, [&stop] {
    while (!stop) UpdatePoint();
  }));
  const auto update = MakeUpdate(std::move(threads));
  EXPECT_THAT(update->StartedThreads(), IsEmpty());
  const absl::Status applied = update->Apply(kPatiently);
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(update->StartedThreads(), ControlledThreads("new"));
  const absl::Status undone = update->Undo(kPatiently);
  stop = true;
  ASSERT_TRUE(undone.ok()) << undone;
  EXPECT_THAT(update->StartedThreads(), IsEmpty());
}

}  // namespace
}  // namespace instar
