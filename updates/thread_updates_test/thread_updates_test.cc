// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/thread_updates.h"

#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/known_names.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/reboot_thread.h"
#include "updates/testing/within.h"
#include "updates/thread_updates_test/counting.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// Comes to no update point until it is told to, and goes on until its end.
class Gated {
 public:
  explicit Gated(std::string name)
      : thread_(StartPassiveThread(std::move(name), [this] {
          while (!open_) std::this_thread::yield();
          while (!stop_) UpdatePoint();
        })) {}
  ~Gated() {
    open_ = true;
    stop_ = true;
  }
  void Open() { open_ = true; }

 private:
  std::atomic<bool> open_{false};
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

// --- What it does.

TEST(ThreadUpdatesTest, AnEmptyUpdateIsAppliedAndUndone) {
  const auto update = MakeUpdate(ThreadUpdates("nothing"));
  EXPECT_EQ(update->name(), "nothing");
  EXPECT_TRUE(update->Prepare().ok());
  EXPECT_TRUE(update->Apply({}).ok());
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Apply({})));
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Prepare().status()));
  EXPECT_TRUE(update->Undo({}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Undo({})));
  EXPECT_TRUE(absl::IsFailedPrecondition(update->CanUndo()));
}

TEST(ThreadUpdatesTest, EachThreadAtItsOwnTime) {
  std::atomic<int> done{0};
  Looping ready("ready");
  Gated late("late");
  ThreadUpdates threads("own time");
  threads.SetUpdateFunction("ready", Count(done, 1));
  threads.SetUpdateFunction("late", Count(done, 1));
  const auto update = MakeUpdate(std::move(threads));
  absl::Status applied;
  std::thread applier([&] { applied = update->Apply(kPatiently); });
  while (done != 1) std::this_thread::yield();
  // The other one is waited for.
  while (update->Progress().blockers.size() != 1) std::this_thread::yield();
  const UpdateProgress progress = update->Progress();
  EXPECT_EQ(progress.phase, UpdatePhase::kWaiting);
  ASSERT_THAT(progress.blockers, SizeIs(1));
  EXPECT_EQ(progress.blockers[0].thread, "late");
  EXPECT_THAT(progress.blockers[0].reason, HasSubstr("no update point"));
  late.Open();
  applier.join();
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(done, 2);
}

TEST(ThreadUpdatesTest, ThenWaitsForWhatWasBefore) {
  std::atomic<int> first{0}, second{0};
  Looping ready("ready");
  Gated late("late");
  ThreadUpdates threads("in order");
  threads.SetUpdateFunction("late", Count(first, 1), Count(first, -1));
  threads.Then();
  threads.SetUpdateFunction(
      "ready",
      [&](UpdateContext&) {
        EXPECT_EQ(first, 1);
        ++second;
        return Attempt::Done();
      },
      [&](UpdateContext&) {
        EXPECT_EQ(first, 1);  // backwards
        --second;
        return Attempt::Done();
      });
  const auto update = MakeUpdate(std::move(threads));
  absl::Status applied;
  std::thread applier([&] { applied = update->Apply(kPatiently); });
  while (update->Progress().blockers.empty()) std::this_thread::yield();
  EXPECT_EQ(second, 0);
  late.Open();
  applier.join();
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(second, 1);
  EXPECT_TRUE(update->Undo(kPatiently).ok());
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 0);
}

TEST(ThreadUpdatesTest, AllThreadsOfAName) {
  std::atomic<int> running{0}, most{0};
  std::vector<std::unique_ptr<Looping>> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(std::make_unique<Looping>("worker"));
  }
  std::vector<pid_t> updated;  // by one at a time: no lock
  ThreadUpdates threads("workers");
  threads.SetUpdateFunction("worker", [&](UpdateContext&) {
    most = std::max<int>(most, ++running);
    updated.push_back(gettid());
    --running;
    return Attempt::Done();
  });
  const absl::Status applied =
      MakeUpdate(std::move(threads))->Apply(kPatiently);
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(most, 1);
  std::vector<pid_t> expected;
  for (const auto& worker : workers) expected.push_back(worker->ref().tid());
  EXPECT_THAT(updated, testing::UnorderedElementsAreArray(expected));
}

class Counting final : public Mechanism {
 public:
  explicit Counting(std::vector<std::string>& log) : log_(log) {}
  std::string name() const override { return "count"; }
  absl::Status Prepare(UpdateForecast& forecast) override {
    forecast.remarks.push_back("it counts");
    log_.push_back("prepare");
    return absl::OkStatus();
  }
  Attempt Apply(const StoppedWorld&) override {
    log_.push_back("try");
    return log_.size() < 3 ? Attempt::NotYet("not the first time")
                           : Attempt::Done();
  }
  Attempt Undo(const StoppedWorld&) override {
    log_.push_back("undo");
    return Attempt::Done();
  }

 private:
  std::vector<std::string>& log_;
};

TEST(ThreadUpdatesTest, AMechanismBringsItsWayBack) {
  std::vector<std::string> log;
  Looping thread("thread");
  ThreadUpdates threads("mechanism");
  threads.Add("thread", std::make_shared<Counting>(log));
  const auto update = MakeUpdate(std::move(threads));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->steps, ElementsAre("thread 'thread': count"));
  EXPECT_THAT(forecast->remarks, ElementsAre("it counts"));
  log.clear();
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  EXPECT_GE(update->Progress().attempts, 2);
  ASSERT_TRUE(update->Undo(kPatiently).ok());
  EXPECT_THAT(log, ElementsAre("prepare", "try", "try", "undo"));
}

TEST(ThreadUpdatesTest, InterruptsABlockingCall) {
  std::atomic<int> done{0};
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ControlledThread thread = StartPassiveThread("reader", [&] {
    char byte;
    while (Blocking([&] { return read(ends[0], &byte, 1); }) < 0) {
    }
  });
  ThreadUpdates threads("reader");
  threads.SetUpdateFunction("reader", Count(done, 1), RebootUpdateOptions());
  const absl::Status applied =
      MakeUpdate(std::move(threads))->Apply(kPatiently);
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(done, 1);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  thread.Join();
  close(ends[0]);
  close(ends[1]);
}

// --- What stands in the way.

TEST(ThreadUpdatesTest, AThreadThatIsNotThereIsWaitedFor) {
  std::atomic<int> done{0};
  DeclareThread("later");
  ThreadUpdates threads("later");
  threads.SetUpdateFunction("later", Count(done, 1), Count(done, -1));
  const auto update = MakeUpdate(std::move(threads));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok());
  EXPECT_THAT(forecast->obstacles,
              ElementsAre("there is no controlled thread 'later'"));
  const absl::Status late = update->Apply(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_THAT(MessageOf(late),
              AllOf(HasSubstr("update 'later' was not applied in "),
                    HasSubstr("there is no controlled thread 'later'")));
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
  absl::Status applied;
  std::thread applier([&] { applied = update->Apply(kPatiently); });
  while (update->Progress().blockers.empty()) std::this_thread::yield();
  {
    Looping thread("later");
    applier.join();
  }
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(done, 1);
}

TEST(ThreadUpdatesTest, SaysWhereAThreadIsThatComesToNoUpdatePoint) {
  Gated late("late");
  ThreadUpdates threads("blocked");
  threads.SetUpdateFunction("late",
                            [](UpdateContext&) { return Attempt::Done(); });
  const auto update = MakeUpdate(std::move(threads));
  absl::Status applied;
  std::thread applier([&] { applied = update->Apply(kPatiently); });
  UpdateProgress progress;
  do {
    progress = update->Progress();
  } while (progress.blockers.empty() || progress.blockers[0].function.empty());
  EXPECT_EQ(progress.blockers[0].thread, "late");
  EXPECT_EQ(progress.blockers[0].frame, 0);
  EXPECT_GT(progress.blockers[0].tid, 0);
  EXPECT_GT(progress.blockers[0].since.count(), 0);
  EXPECT_THAT(progress.blockers[0].reason, HasSubstr("; it is in "));
  EXPECT_THAT(progress.blockers[0].remedy, HasSubstr("UpdatePoint()"));
  update->Cancel();
  applier.join();
  EXPECT_TRUE(absl::IsCancelled(applied)) << applied;
}

TEST(ThreadUpdatesTest, TheTimeIsUp) {
  std::atomic<int> done{0};
  Looping ready("ready"), waiting("waiting");
  bool is_time = false;
  ThreadUpdates threads("slow");
  threads.SetUpdateFunction("ready", Count(done, 1), Count(done, -1));
  threads.SetUpdateFunction("waiting", [&](UpdateContext&) {
    return is_time ? Attempt::Done() : Attempt::NotYet("the moon is not full");
  });
  const auto update = MakeUpdate(std::move(threads));
  absl::Status late;
  ApplyOptions options = kBriefly;
  do {  // until there is time enough for one of them, and to ask the other one
    late = update->Apply(options);
    options.timeout *= 2;
    ASSERT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  } while (MessageOf(late).find("thread 'ready'") != std::string::npos ||
           MessageOf(late).find("the moon") == std::string::npos);
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_THAT(MessageOf(late), AllOf(HasSubstr("thread 'waiting' ("),
                                     HasSubstr("the moon is not full")));
  EXPECT_EQ(done, 0);  // taken back
  // Later it succeeds.
  is_time = true;
  EXPECT_TRUE(update->Apply(kPatiently).ok());
  EXPECT_EQ(done, 1);
  EXPECT_THAT(MessageOf(update->CanUndo()),
              HasSubstr("thread 'waiting': update function has no undo"));
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Undo(kBriefly)));
}

TEST(ThreadUpdatesTest, Requirements) {
  std::atomic<int> done{0};
  Looping thread("thread");
  std::atomic<bool> met{false}, never{false};
  ThreadUpdates threads("demanding");
  threads.When([&] {
    if (never) return Attempt::Failed(absl::AbortedError("never"));
    return met ? Attempt::Done() : Attempt::NotYet("something is missing");
  });
  threads.SetUpdateFunction("thread", Count(done, 1), Count(done, -1));
  const auto update = MakeUpdate(std::move(threads));
  EXPECT_EQ(update->Requirements().reason(), "something is missing");
  EXPECT_THAT(update->Prepare()->obstacles,
              ElementsAre("something is missing"));
  EXPECT_THAT(MessageOf(update->Apply(kBriefly)),
              HasSubstr("something is missing"));
  EXPECT_EQ(done, 0);
  never = true;
  EXPECT_EQ(update->Prepare().status(), absl::FailedPreconditionError("never"));
  EXPECT_EQ(update->Apply({}), absl::FailedPreconditionError("never"));
  never = false;
  met = true;
  EXPECT_TRUE(update->Apply(kPatiently).ok());
  EXPECT_EQ(done, 1);
}

TEST(ThreadUpdatesTest, AThreadThatEndsFailsTheUpdate) {
  auto thread = std::make_unique<Looping>("mortal");
  ThreadUpdates threads("too late");
  threads.SetUpdateFunction(
      "mortal", [](UpdateContext&) { return Attempt::NotYet("no"); });
  const auto update = MakeUpdate(std::move(threads));
  absl::Status applied;
  std::thread applier([&] { applied = update->Apply(kPatiently); });
  while (update->Progress().attempts == 0) std::this_thread::yield();
  thread.reset();
  applier.join();
  EXPECT_TRUE(absl::IsFailedPrecondition(applied)) << applied;
  EXPECT_THAT(MessageOf(applied), HasSubstr("ended before it was updated"));
}

TEST(ThreadUpdatesTest, CancelledBetweenTwo) {
  std::atomic<int> done{0};
  Looping ready("ready");
  Gated late("late");
  ThreadUpdates threads("cancelled");
  threads.SetUpdateFunction("ready", Count(done, 1), Count(done, -1));
  threads.SetUpdateFunction("late", Count(done, 1), Count(done, -1));
  const auto update = MakeUpdate(std::move(threads));
  update->Cancel();  // nothing runs: without effect
  absl::Status applied;
  std::thread applier([&] { applied = update->Apply(kPatiently); });
  while (done != 1) std::this_thread::yield();
  update->Cancel();
  applier.join();
  EXPECT_TRUE(absl::IsCancelled(applied)) << applied;
  EXPECT_EQ(done, 0);
  late.Open();
  EXPECT_TRUE(update->Apply(kPatiently).ok());
  EXPECT_EQ(done, 2);
}

}  // namespace
}  // namespace instar
