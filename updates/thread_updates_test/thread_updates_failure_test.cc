// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Failures of an update of each thread at its own point, at each position.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"
#include "updates/thread_updates_test/counting.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Six parts in two stages; what is in effect, and what was done in which order.
struct Six {
  static constexpr int kParts = 6;

  class Part final : public Mechanism {
   public:
    Part(Six* six, int number) : six_(six), number_(number) {}
    std::string name() const override { return absl::StrCat("part ", number_); }
    MechanismTraits traits() const override {
      return {AuthorsCodeIn::kEverything, Stacks::kThisThread};
    }
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
    threads.Add(thread, std::make_shared<Part>(this, number));
  }

  Attempt Change(int number, bool to) {
    if (number == fails_at && to == fails_forwards) {
      if (throws) throw std::runtime_error("broken");
      return Attempt::Failed(absl::ResourceExhaustedError("broken"));
    }
    EXPECT_NE(in_effect[number].load(), to) << number;
    in_effect[number] = to;
    return Attempt::Done();
  }
  int CountInEffect() {
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

  std::atomic<bool> in_effect[kParts] = {};  // by whichever thread's part
  int fails_at = -1;
  bool fails_forwards = true;
  bool throws = false;
  Looping a{"a"}, b{"b"}, c{"c"};
};

// A limit that is as good as none is none for what is taken back, too.
TEST(ThreadUpdatesFailureTest, TakenBackWithoutALimit) {
  Six six;
  six.fails_at = 5;
  const auto update = six.Make();
  ApplyOptions options;
  options.timeout = std::chrono::nanoseconds::max();
  const absl::Status failed = update->Apply(options);
  EXPECT_EQ(failed.code(), absl::StatusCode::kResourceExhausted) << failed;
  EXPECT_EQ(six.CountInEffect(), 0);
}

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
    EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
    // Applied again, the rest is done.
    fails = false;
    EXPECT_TRUE(update->Apply(kPatiently).ok());
    EXPECT_EQ(six.CountInEffect(), Six::kParts - 1);
  }
}

// The last to be undone fails, and part k, which has been undone, cannot be
// put back.
TEST(ThreadUpdatesFailureTest, PuttingBackFailsAtEachPosition) {
  for (int k = 1; k < Six::kParts; ++k) {
    SCOPED_TRACE(k);
    Six six;
    bool fails = true;
    ThreadUpdates threads("lost");
    threads.SetUpdateFunction(
        "c", [](UpdateContext&) { return Attempt::Done(); },
        [&](UpdateContext&) {
          return fails ? Attempt::Failed(absl::UnavailableError("it fails"))
                       : Attempt::Done();
        });
    threads.Then();
    threads.Start(std::make_shared<Six::Part>(&six, 0));
    for (int i = 1; i < Six::kParts; ++i) six.AddTo(threads, "a", i);
    const auto update = MakeUpdate(std::move(threads));
    ASSERT_TRUE(update->Apply(kPatiently).ok());
    six.fails_at = k;
    six.fails_forwards = true;
    const absl::Status failed = update->Undo(kPatiently);
    EXPECT_TRUE(absl::IsDataLoss(failed)) << failed;
    EXPECT_THAT(
        MessageOf(failed),
        AllOf(HasSubstr("it fails"), HasSubstr("could not be put back: "),
              HasSubstr(absl::StrCat("part ", k, ": broken"))));
    EXPECT_EQ(six.CountInEffect(), Six::kParts - 1);
    EXPECT_FALSE(six.in_effect[k]);
    EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
    // Undone again, the rest is.
    fails = false;
    const absl::Status undone = update->Undo(kPatiently);
    EXPECT_TRUE(undone.ok()) << undone;
    EXPECT_EQ(six.CountInEffect(), 0);
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
