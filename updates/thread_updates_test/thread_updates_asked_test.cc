// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whom updates of threads ask, where ApplyOptions::threads restricts that.

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "updates/change.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"
#include "updates/thread_updates_test/counting.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

struct Nothing final : Mechanism {
  std::string name() const override { return "do nothing"; }
  Attempt Apply(const StoppedWorld&) override { return Attempt::Done(); }
  Attempt Undo(const StoppedWorld&) override { return Attempt::Done(); }
};

// Never comes to an update point.
class Stubborn {
 public:
  Stubborn()
      : thread_(StartPassiveThread("stubborn", [this] {
          while (!stop_) {
          }
        })) {
    while (thread_.state() == ThreadState::kNew) {
    }
  }
  ~Stubborn() { stop_ = true; }

 private:
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

ApplyOptions AskingOnly(const ThreadRef& thread, ApplyOptions options) {
  options.threads = [thread] { return std::vector<ThreadRef>{thread}; };
  return options;
}

TEST(ThreadUpdatesAskedTest, NobodyElse) {
  const Stubborn stubborn;
  Looping looping("looping");
  ThreadUpdates threads("nothing");
  threads.Start(std::make_shared<Nothing>());
  threads.Add("looping", std::make_shared<Nothing>());
  const auto update = MakeUpdate(std::move(threads));
  const ApplyOptions options = AskingOnly(looping.ref(), kPatiently);
  const auto blockers = update->Rehearse(options);
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  EXPECT_THAT(*blockers, IsEmpty());
  const absl::Status applied = update->Apply(options);
  ASSERT_TRUE(applied.ok()) << applied;
  const absl::Status undone = update->Undo(options);
  ASSERT_TRUE(undone.ok()) << undone;
  // What has been restricted is so for that time.
  const auto all = update->Rehearse(kBriefly);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(*all, Not(IsEmpty()));
  EXPECT_THAT(MessageOf(update->Apply(kBriefly)), HasSubstr("stubborn"));
}

// Its author has named one that must stand still.
TEST(ThreadUpdatesAskedTest, AThreadThatIsNamedIsWaitedFor) {
  Looping looping("looping"), named("named");
  ChangeOptions with_named;
  with_named.threads = [&named] { return std::vector<ThreadRef>{named.ref()}; };
  ThreadUpdates threads("nothing");
  threads.Start(std::make_shared<Nothing>(), with_named);
  const auto update = MakeUpdate(std::move(threads));
  const auto waits = AllOf(HasSubstr("do nothing: "), HasSubstr("registered"));
  const auto blockers = update->Rehearse(AskingOnly(looping.ref(), kBriefly));
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  ASSERT_THAT(*blockers, SizeIs(1));
  EXPECT_EQ((*blockers)[0].thread, "named");
  EXPECT_THAT((*blockers)[0].reason, waits);
  const absl::Status late = update->Apply(AskingOnly(looping.ref(), kBriefly));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_THAT(MessageOf(late), AllOf(HasSubstr("thread 'named'"), waits));
  const absl::Status applied =
      update->Apply(AskingOnly(named.ref(), kPatiently));
  EXPECT_TRUE(applied.ok()) << applied;
}

TEST(ThreadUpdatesAskedTest, AllThreadsOfTheProcessAreRefused) {
  Looping looping("looping");
  ThreadUpdates threads("nothing");
  threads.Start(std::make_shared<Nothing>(), Stacks::kAllThreads);
  const auto update = MakeUpdate(std::move(threads));
  const ApplyOptions options = AskingOnly(looping.ref(), kPatiently);
  for (const absl::Status& refused :
       {update->Rehearse(options).status(), update->Apply(options)}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(MessageOf(refused), HasSubstr("kControlledThreads"));
  }
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kNew);
}

}  // namespace
}  // namespace instar
