// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A thread that has been told where a call leads, and has not yet gone there,
// is on no stack of the function; it must not begin the old version after the
// change.

#include <signal.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/testing/hammer.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/redefinable.h"
#include "code/symbols/function.h"
#include "gtest/gtest.h"
#include "stack/function_set.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/quiescence/when_quiescent.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using namespace updates_test;  // NOLINT: the functions under test

// Of each test, as many as there is time for: a busy machine gives a round of
// one that yields a tenth of a second.
constexpr int kRounds = 2500;
constexpr int kFewestRounds = 20;
constexpr std::chrono::seconds kEnough(10);

// Changes to and fro while threads call; what was begun at the wrong time.
long Untimely(const WatchedFunctions& watched,
              absl::FunctionRef<absl::Status(OtherThreads)> apply,
              absl::FunctionRef<absl::Status(OtherThreads)> undo) {
  const long before = beats.untimely;
  const auto until = std::chrono::steady_clock::now() + kEnough;
  for (int round = 0; round < kRounds; ++round) {
    const bool applies = round % 2 == 0;
    if (applies && round >= kFewestRounds &&
        std::chrono::steady_clock::now() > until) {
      break;
    }
    while (true) {
      const Attempt attempt =
          WhenQuiescent(watched, Stacks::kAllThreads, [&](OtherThreads others) {
            beats.is_time_of_second = applies;
            return applies ? apply(others) : undo(others);
          });
      if (attempt.is_done()) break;
      EXPECT_TRUE(attempt.is_not_yet()) << attempt.reason();
      if (attempt.is_failed()) return -1;
    }
    // Both versions begin at their time, too.
    const long count = beats.count;
    while (beats.count == count) std::this_thread::yield();
  }
  return beats.untimely - before;
}

// Where entries are intercepted.
long UntimelyOfEntries() {
  auto redirection = Redirect(&Beat, &Beat2);
  EXPECT_TRUE(redirection.ok()) << redirection.status();
  // What it has led to is watched, too.
  const auto watched = WatchedFunctions::Make({*Function::Of(&Beat)});
  EXPECT_TRUE(watched.ok()) << watched.status();
  EXPECT_TRUE(redirection->Undo().ok());
  const Hammer caller(1, &Beat);
  return Untimely(
      *watched, [&](OtherThreads others) { return redirection->Apply(others); },
      [&](OtherThreads others) { return redirection->Undo(others); });
}

TEST(LateEntryTest, EntriesThatLookUpWhereTheyLead) {
  const auto entries = EntryInterception::WithLookup({*Function::Of(&Beat)});
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(UntimelyOfEntries(), 0);
}

TEST(LateEntryTest, EntriesThatCallAGate) {
  const auto entries = EntryInterception::WithGate(
      {*Function::Of(&Beat)}, [](const InterceptedEntry&) {});
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(UntimelyOfEntries(), 0);
}

TEST(LateEntryTest, EntriesThatARequestHasArmed) {
  std::atomic<bool> stop{false};
  ControlledThread active = StartActiveThread("active", [&stop] {
    while (!stop) std::this_thread::yield();
  });
  UpdateRequest request = SetUpdateFunction(
      active, [](UpdateContext&) { return Attempt::NotYet("never"); });
  request.Trigger();
  EXPECT_EQ(UntimelyOfEntries(), 0);
  request.Cancel();
  stop = true;
}

TEST(LateEntryTest, Slots) {
  Redefinable<void()> slot(&Beat);
  RedefinableRedirection redirection(slot, &Beat2);
  const auto watched =
      WatchedFunctions::Make({*Function::Of(&Beat), *Function::Of(&Beat2)});
  ASSERT_TRUE(watched.ok()) << watched.status();
  const Hammer caller(1, [&slot] { slot(); });
  const auto apply = [&](OtherThreads) {
    redirection.Apply();
    return absl::OkStatus();
  };
  const auto undo = [&](OtherThreads) {
    redirection.Undo();
    return absl::OkStatus();
  };
  EXPECT_EQ(Untimely(*watched, apply, undo), 0);
}

// The thread of these timers starts others at any time, which block all signals
// and would die of a trap: it is traced, as they are. The last test: that
// thread stays.
TEST(LateEntryTest, ThreadsThatTimersStart) {
  auto redirection = Redirect(&Beat, &Beat2);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  const auto watched = WatchedFunctions::Make({*Function::Of(&Beat)});
  ASSERT_TRUE(watched.ok()) << watched.status();
  ASSERT_TRUE(redirection->Undo().ok());
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = [](sigval) { Beat(); };
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  itimerspec often = {};
  often.it_value.tv_nsec = often.it_interval.tv_nsec = 500'000;
  ASSERT_EQ(timer_settime(timer, 0, &often, nullptr), 0);
  for (int round = 0; round < 100; ++round) {
    while (true) {
      const Attempt attempt = WhenQuiescent(
          *watched, Stacks::kAllThreads, [&](OtherThreads others) {
            EXPECT_EQ(others, OtherThreads::kHeld);
            return round % 2 == 0 ? redirection->Apply(others)
                                  : redirection->Undo(others);
          });
      if (attempt.is_done()) break;
      ASSERT_TRUE(attempt.is_not_yet()) << attempt.reason();
    }
    const long count = beats.count;
    while (beats.count == count) std::this_thread::yield();
  }
  timer_delete(timer);
}

}  // namespace
}  // namespace instar
