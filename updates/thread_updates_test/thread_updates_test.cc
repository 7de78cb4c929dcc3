// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/thread_updates.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/known_names.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/reboot_thread.h"
#include "updates/testing/within.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

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

UpdateFunction Count(std::atomic<int>& count, int step) {
  return [&count, step](UpdateContext&) {
    count += step;
    return Attempt::Done();
  };
}

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

// --- Failures at each position.

// Six parts in two stages; what is in effect, and what was done in which order.
struct Six {
  static constexpr int kParts = 6;

  class Part final : public Mechanism {
   public:
    Part(Six* six, int number) : six_(six), number_(number) {}
    std::string name() const override { return absl::StrCat("part ", number_); }
    Attempt Apply(const StoppedWorld&) override {
      return six_->Change(number_, true);
    }
    Attempt Undo(const StoppedWorld&) override {
      return six_->Change(number_, false);
    }

   private:
    Six* const six_;
    const int number_;
  };
  void AddTo(ThreadUpdates& threads, const char* thread, int number) {
    threads.Add(thread, std::make_shared<Part>(this, number),
                Stacks::kThisThread);
  }

  Attempt Change(int number, bool to) {
    std::lock_guard<std::mutex> guard(lock);
    if (number == fails_at && to == fails_forwards) {
      if (throws) throw std::runtime_error("broken");
      return Attempt::Failed(absl::ResourceExhaustedError("broken"));
    }
    EXPECT_NE(in_effect[number], to) << number;
    in_effect[number] = to;
    return Attempt::Done();
  }
  int CountInEffect() {
    std::lock_guard<std::mutex> guard(lock);
    return static_cast<int>(
        std::count(std::begin(in_effect), std::end(in_effect), true));
  }
  std::unique_ptr<Update> Make() {
    ThreadUpdates threads("six");
    threads.Start(std::make_shared<Part>(this, 0));
    AddTo(threads, "a", 1);
    AddTo(threads, "b", 2);
    threads.Then();
    threads.Start(std::make_shared<Part>(this, 3));
    AddTo(threads, "b", 4);
    AddTo(threads, "c", 5);
    return MakeUpdate(std::move(threads));
  }

  std::mutex lock;
  bool in_effect[kParts] = {};
  int fails_at = -1;
  bool fails_forwards = true;
  bool throws = false;
  Looping a{"a"}, b{"b"}, c{"c"};
};

TEST(ThreadUpdatesFailureTest, ApplyAtEachPosition) {
  Six six;
  for (const bool throws : {false, true}) {
    six.throws = throws;
    for (int k = 0; k < Six::kParts; ++k) {
      SCOPED_TRACE(k);
      six.fails_at = k;
      const auto update = six.Make();
      const absl::Status failed = update->Apply(kPatiently);
      EXPECT_EQ(failed.code(), throws ? absl::StatusCode::kInternal
                                      : absl::StatusCode::kResourceExhausted);
      EXPECT_THAT(MessageOf(failed), AllOf(HasSubstr("broken"),
                                           HasSubstr(absl::StrCat("part ", k)),
                                           Not(HasSubstr("taken back"))));
      EXPECT_EQ(six.CountInEffect(), 0);
      EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
      // Nothing is left that hinders the next.
      six.fails_at = -1;
      ASSERT_TRUE(update->Apply(kPatiently).ok());
      EXPECT_EQ(six.CountInEffect(), Six::kParts);
      ASSERT_TRUE(update->Undo(kPatiently).ok());
      EXPECT_EQ(six.CountInEffect(), 0);
    }
  }
}

TEST(ThreadUpdatesFailureTest, UndoAtEachPosition) {
  Six six;
  for (int k = 0; k < Six::kParts; ++k) {
    SCOPED_TRACE(k);
    const auto update = six.Make();
    ASSERT_TRUE(update->Apply(kPatiently).ok());
    six.fails_at = k;
    six.fails_forwards = false;
    const absl::Status failed = update->Undo(kPatiently);
    EXPECT_TRUE(absl::IsResourceExhausted(failed)) << failed;
    EXPECT_THAT(MessageOf(failed), HasSubstr(absl::StrCat("part ", k)));
    EXPECT_EQ(six.CountInEffect(), Six::kParts);  // put back
    EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
    six.fails_at = -1;
    ASSERT_TRUE(update->Undo(kPatiently).ok());
    EXPECT_EQ(six.CountInEffect(), 0);
  }
}

// The last part fails, and what part k has done cannot be taken back.
TEST(ThreadUpdatesFailureTest, TakingBackFailsAtEachPosition) {
  for (int k = 0; k < Six::kParts - 1; ++k) {
    SCOPED_TRACE(k);
    Six six;
    ThreadUpdates threads("kept");
    bool fails = true;
    threads.Start(std::make_shared<Six::Part>(&six, 0));
    six.AddTo(threads, "a", 1);
    six.AddTo(threads, "b", 2);
    six.AddTo(threads, "b", 3);
    six.AddTo(threads, "c", 4);
    threads.Then();
    threads.SetUpdateFunction("c", [&](UpdateContext&) {
      return fails ? Attempt::Failed(absl::UnavailableError("the last fails"))
                   : Attempt::Done();
    });
    const auto update = MakeUpdate(std::move(threads));
    six.fails_at = k;
    six.fails_forwards = false;
    const absl::Status failed = update->Apply(kPatiently);
    EXPECT_TRUE(absl::IsDataLoss(failed)) << failed;
    EXPECT_THAT(MessageOf(failed),
                AllOf(HasSubstr("the last fails"),
                      HasSubstr("could not be taken back: "),
                      HasSubstr(absl::StrCat("part ", k, ": broken"))));
    EXPECT_EQ(six.CountInEffect(), 1);
    EXPECT_TRUE(six.in_effect[k]);
    // Applied again, the rest is done.
    fails = false;
    EXPECT_TRUE(update->Apply(kPatiently).ok());
    EXPECT_EQ(six.CountInEffect(), Six::kParts - 1);
  }
}

TEST(ThreadUpdatesFailureTest, WhatHasNoWayBackStays) {
  std::atomic<int> kept{0}, taken_back{0};
  Looping a("a"), b("b");
  ThreadUpdates threads("kept");
  threads.SetUpdateFunction("a", Count(kept, 1));
  threads.SetUpdateFunction("b", Count(taken_back, 1), Count(taken_back, -1));
  threads.Then();
  threads.SetUpdateFunction("b", [](UpdateContext&) {
    return Attempt::Failed(absl::UnavailableError("the last fails"));
  });
  const auto update = MakeUpdate(std::move(threads));
  EXPECT_THAT(update->Prepare()->remarks,
              ElementsAre("thread 'a': update function has no undo",
                          "thread 'b': update function has no undo"));
  const absl::Status failed = update->Apply(kPatiently);
  EXPECT_TRUE(absl::IsDataLoss(failed)) << failed;
  EXPECT_THAT(
      MessageOf(failed),
      HasSubstr("thread 'a': update function stays in effect: it has no undo"));
  EXPECT_EQ(kept, 1);
  EXPECT_EQ(taken_back, 0);
}

// While others are updated, and taken back, threads come and go.
TEST(ThreadUpdatesFailureTest, FailuresUnderLoad) {
  Six six;
  std::atomic<bool> stop{false};
  std::thread others([&] {
    while (!stop) {
      const ControlledThread short_lived =
          StartPassiveThread("other", [] { UpdatePoint(); });
    }
  });
  for (int i = 0; i < 20; ++i) {
    const auto update = six.Make();
    six.fails_at = i % (Six::kParts + 1);  // or nowhere
    six.fails_forwards = true;
    std::thread curious([&] {
      while (update->Progress().phase == UpdatePhase::kWaiting) {
        std::this_thread::yield();
      }
    });
    const absl::Status applied = update->Apply(kPatiently);
    curious.join();
    const bool fails = six.fails_at < Six::kParts;
    EXPECT_EQ(applied.ok(), !fails) << applied;
    EXPECT_EQ(six.CountInEffect(), fails ? 0 : Six::kParts);
    if (fails) continue;
    EXPECT_TRUE(update->Undo(kPatiently).ok());
  }
  stop = true;
  others.join();
}

}  // namespace
}  // namespace instar
