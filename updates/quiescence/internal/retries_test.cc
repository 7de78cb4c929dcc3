// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/internal/retries.h"

#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/pacing.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::milliseconds;

using TimePoint = Retries::Clock::time_point;

// As retries.cc has them.
constexpr int kTimesAlone = 10;
constexpr milliseconds kAlonePause(10);
constexpr milliseconds kAloneLimit(50);
constexpr milliseconds kAskAgain(4);

// Threads that are there, and come to no update point, until it goes; and
// attempts that wait for them, on a clock of the test's.
class RetriesTest : public ::testing::Test {
 protected:
  ~RetriesTest() override { end_.set_value(); }

  ThreadRef Start(const std::string& name, ThreadKind kind) {
    const auto wait = [ended = ended_] { ended.wait(); };
    threads_.push_back(kind == ThreadKind::kPassive
                           ? StartPassiveThread(name, wait)
                           : StartActiveThread(name, wait));
    return threads_.back().ref();
  }

  // Whom the next attempt asks first.
  std::optional<ThreadRef> First() const { return Prepared().first; }
  StopOptions Prepared() const {
    StopOptions options;
    options.limit = std::chrono::seconds(1);
    retries_.Prepare(options);
    return options;
  }

  // An attempt that stopped threads for a millisecond, and for which these were
  // late.
  void NoteLate(const std::vector<ThreadRef>& late) {
    const TimePoint begin = now_;
    now_ += milliseconds(1);
    retries_.Note(now_, {begin, now_, /*first_did_not_come=*/false},
                  Missing(late));
  }
  // One that waited for its first thread alone, in vain.
  void NoteFirstDidNotCome(const std::vector<ThreadRef>& late) {
    now_ += kAloneLimit;
    retries_.Note(now_, {std::nullopt, now_, /*first_did_not_come=*/true},
                  Missing(late));
  }

  static Obstacles Missing(const std::vector<ThreadRef>& late) {
    Obstacles obstacles(Obstacles::kMany);
    std::vector<MissingThread> missing;
    for (const ThreadRef& thread : late) {
      missing.push_back({thread, thread.state(), {}});
    }
    obstacles.AddMissing(missing, "");
    return obstacles;
  }

  Retries retries_{Pacing::Options()};
  TimePoint now_ = TimePoint() + std::chrono::hours(1);

 private:
  std::promise<void> end_;
  std::shared_future<void> ended_ = end_.get_future().share();
  std::vector<ControlledThread> threads_;  // joined once they are told
};

TEST_F(RetriesTest, TheFirstAttemptIsNeverTooEarlyAndAsksAll) {
  EXPECT_FALSE(retries_.IsTooEarly(TimePoint()));
  EXPECT_EQ(First(), std::nullopt);
  EXPECT_EQ(Prepared().limit, Pacing::Options().first_limit);
}

TEST_F(RetriesTest, AnAttemptThatAsksForLessIsGivenLess) {
  StopOptions options;
  options.limit = milliseconds(1);
  retries_.Prepare(options);
  EXPECT_EQ(options.limit, milliseconds(1));
}

TEST_F(RetriesTest, ALateThreadIsAskedAloneSomeTimesAndThenAllAreAgain) {
  const ThreadRef late = Start("late", ThreadKind::kPassive);
  NoteLate({late});
  // More than once around.
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kTimesAlone; ++i) {
      EXPECT_EQ(First(), late) << i;
      EXPECT_EQ(Prepared().first_limit, kAloneLimit);
      ASSERT_EQ(Prepared().late.size(), 1u);
      EXPECT_EQ(Prepared().late[0].thread, late);
      NoteFirstDidNotCome({late});
      EXPECT_EQ(retries_.next(), now_ + kAlonePause);
      now_ = retries_.next();
    }
    EXPECT_EQ(First(), std::nullopt);
    NoteLate({late});
  }
}

TEST_F(RetriesTest, LateThreadsAreAskedAloneInTurn) {
  const ThreadRef one = Start("one", ThreadKind::kPassive);
  const ThreadRef two = Start("two", ThreadKind::kPassive);
  NoteLate({one, two});
  EXPECT_EQ(First(), one);
  NoteFirstDidNotCome({one, two});
  EXPECT_EQ(First(), two);
  NoteFirstDidNotCome({one, two});
  EXPECT_EQ(First(), one);
}

TEST_F(RetriesTest, AnActiveThreadIsNotAskedAlone) {
  const ThreadRef active = Start("active", ThreadKind::kActive);
  NoteLate({active});
  EXPECT_EQ(First(), std::nullopt);
  const ThreadRef passive = Start("passive", ThreadKind::kPassive);
  NoteLate({active, passive});
  EXPECT_EQ(First(), passive);
}

TEST_F(RetriesTest, AThreadThatHasEndedIsNotAsked) {
  std::optional<ThreadRef> ended;
  {
    ControlledThread thread = StartPassiveThread("ended", [] {});
    ended = thread.ref();
  }
  ASSERT_EQ(ended->state(), ThreadState::kEnded);
  NoteLate({*ended});
  EXPECT_EQ(First(), std::nullopt);
}

TEST_F(RetriesTest, NobodyIsAskedAloneAnyMoreWhenOthersWereInTheWay) {
  const ThreadRef late = Start("late", ThreadKind::kPassive);
  NoteLate({late});
  ASSERT_EQ(First(), late);
  NoteLate({});
  EXPECT_EQ(First(), std::nullopt);
}

TEST_F(RetriesTest, WhatStoppedNobodyIsAskedAgainSoon) {
  retries_.NoteOther(now_);
  EXPECT_EQ(retries_.next(), now_ + kAskAgain);
  EXPECT_TRUE(retries_.IsTooEarly(now_));
  EXPECT_TRUE(
      retries_.IsTooEarly(retries_.next() - std::chrono::nanoseconds(1)));
  EXPECT_FALSE(retries_.IsTooEarly(retries_.next()));

  now_ += std::chrono::seconds(1);
  retries_.Note(now_, {std::nullopt, now_, /*first_did_not_come=*/false},
                Missing({}));
  EXPECT_EQ(retries_.next(), now_ + kAskAgain);
}

TEST_F(RetriesTest, OneThatStoppedThreadsIsFollowedByThePauseOfItsPacing) {
  Pacing pacing;
  for (int i = 0; i < 4; ++i) {
    const TimePoint begin = now_;
    NoteLate({});
    pacing.Note(begin, now_, /*was_too_short=*/false);
    EXPECT_EQ(retries_.next(), pacing.next());
    EXPECT_TRUE(retries_.IsTooEarly(now_));
    now_ = retries_.next();
  }
}

}  // namespace
}  // namespace updates_internal
}  // namespace instar
