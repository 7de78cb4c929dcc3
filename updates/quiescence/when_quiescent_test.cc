// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Quiescence on the stacks of controlled threads, which meet at a rendezvous.
// updates/mechanisms/redefine_test/redefine_threads_test.cc stops threads by
// signals.

#include "updates/quiescence/when_quiescent.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/sanitizers.h"
#include "code/portable/needs_entries_for_test.h"
#include "code/symbols/function.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/function_set.h"
#include "stack/interrupted_thread.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

constexpr std::chrono::seconds kLimit(60);

WatchedFunctions Watch(int (*function)(int, const std::function<void()>&)) {
  return *WatchedFunctions::Make({*Function::Of(function)});
}

absl::Status Nothing(OtherThreads) { return absl::OkStatus(); }

// Two that stop threads: one of them, to look at one other thread. They take
// turns; each would otherwise stop the other, or whom the other waits for, and
// both would wait in vain with everybody stopped, until their time is up.
TEST(QuiescenceOfAllThreadsTest, ACopyOfAThreadIsInNobodysWay) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> stop{false};
  std::atomic<pid_t> busy_tid{0};
  std::thread busy([&] {
    busy_tid = gettid();
    while (!stop) {
    }
  });
  while (busy_tid == 0) std::this_thread::yield();
  std::atomic<bool> stop_copies{false};
  std::atomic<int> copied{0};
  std::thread copies([&] {
    std::vector<char> room(64 << 10);
    while (!stop_copies) {
      const auto copy = CopyThread(busy_tid, kLimit, room.data(), room.size());
      EXPECT_TRUE(copy.ok()) << copy.status();
      ++copied;
    }
  });
  const WatchedFunctions watched = Watch(&Depth);
  // Each is soon through, but on a machine that is busy, where a thread may not
  // be run in time: then it is tried again.
  for (int done = 0; done < 500 || copied < 100;) {
    QuiescenceReport report;
    const Attempt attempt =
        WhenQuiescent(watched, Stacks::kAllThreads, &Nothing, kLimit, &report);
    EXPECT_FALSE(attempt.is_failed()) << attempt.reason();
    if (attempt.is_failed()) break;
    if (attempt.is_not_yet()) continue;
    EXPECT_FALSE(report.was_too_short);
    EXPECT_GT(report.stopped.count(), 0);
    ++done;
  }
  // A thread that ends cannot be copied: the copies end before it.
  stop_copies = true;
  copies.join();
  stop = true;
  busy.join();
}

TEST(QuiescenceOfAllThreadsTest, ALimitWithoutEndIsNotOver) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> begun{false}, stop{false};
  std::thread busy([&] {
    begun = true;
    while (!stop) {
    }
  });
  while (!begun) std::this_thread::yield();
  const Attempt attempt =
      WhenQuiescent(Watch(&Depth), Stacks::kAllThreads, &Nothing,
                    std::chrono::nanoseconds::max());
  EXPECT_TRUE(attempt.is_done()) << attempt.reason();
  stop = true;
  busy.join();
}

// More than could be stopped by signals at a time.
TEST(QuiescenceAtRendezvousTest, AnyNumberOfThreadsStandsStillForTheChange) {
  std::atomic<long> steps{0};
  std::list<Looping> workers;
  for (int i = 0; i < 70; ++i) {
    workers.emplace_back("worker", [&steps] {
      steps.fetch_add(1, std::memory_order_relaxed);
      std::this_thread::yield();
    });
  }
  for (const Looping& worker : workers) worker.AwaitRounds();
  for (int i = 0; i < 5; ++i) {
    bool changed = false;
    const Attempt attempt = WhenQuiescent(
        Watch(&Depth), Stacks::kControlledThreads,
        [&](OtherThreads others) {
          EXPECT_EQ(others, OtherThreads::kRunning);
          const long before = steps;
          for (int n = 0; n < 20; ++n) std::this_thread::yield();
          EXPECT_EQ(steps, before);
          changed = true;
          return absl::OkStatus();
        },
        kLimit);
    ASSERT_TRUE(attempt.is_done()) << attempt.reason();
    EXPECT_TRUE(changed);
  }
}

TEST(QuiescenceAtRendezvousTest, ActiveAtAnUpdatePoint) {
  std::atomic<bool> leave{false};
  std::atomic<bool> inside{false};
  ControlledThread thread = StartPassiveThread("worker", [&] {
    Depth(1000, [&] {
      inside = true;
      while (!leave) UpdatePoint();
    });
  });
  while (!inside) std::this_thread::yield();
  const Attempt attempt = WhenQuiescent(
      Watch(&Depth), Stacks::kControlledThreads, &Nothing, kLimit);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("Depth"));
  EXPECT_THAT(attempt.reason(), HasSubstr("thread 'worker'"));
  leave = true;
  thread.Join();
  EXPECT_TRUE(
      WhenQuiescent(Watch(&Depth), Stacks::kControlledThreads, &Nothing, kLimit)
          .is_done());
}

TEST(QuiescenceAtRendezvousTest, ActiveInABlockingRegion) {
  std::atomic<bool> leave{false};
  ControlledThread thread = StartPassiveThread("sleeper", [&] {
    Depth(2, [&] {
      Blocking([&] {
        while (!leave) std::this_thread::yield();
      });
    });
  });
  while (thread.state() != ThreadState::kBlocked) std::this_thread::yield();
  const Attempt attempt = WhenQuiescent(
      Watch(&Depth), Stacks::kControlledThreads, &Nothing, kLimit);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("thread 'sleeper'"));
  leave = true;
}

TEST(QuiescenceAtRendezvousTest, ActiveOnAPausedContinuletOfABusyThread) {
  std::atomic<bool> leave{false};
  std::atomic<bool> inside{false};
  ControlledThread thread = StartPassiveThread("worker", [&] {
    Continulet<void()> body("sleeper", [](ContinuletSelf<void()>& self) {
      Depth(5, [&] { self.Switch(); });
    });
    body.Switch();
    inside = true;
    // Never settled as far as a signal can tell: it switches all the time.
    Continulet<void()> busy("busy", [&leave](ContinuletSelf<void()>& self) {
      while (!leave) self.Switch();
    });
    while (busy.is_pending()) {
      busy.Switch();
      UpdatePoint();
    }
    body.Switch();
  });
  while (!inside) std::this_thread::yield();
  const Attempt attempt = WhenQuiescent(
      Watch(&Depth), Stacks::kControlledThreads, &Nothing, kLimit);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("in continulet 'sleeper'"));
  EXPECT_THAT(attempt.reason(), HasSubstr("thread 'worker'"));
  leave = true;
}

TEST(QuiescenceAtRendezvousTest, WhoDoesNotComeIsNamed) {
  Looping other("other");
  other.AwaitRounds();
  std::atomic<bool> stop{false};
  std::atomic<bool> begun{false};
  ControlledThread thread = StartPassiveThread("stubborn", [&] {
    begun = true;
    while (!stop) {
    }
  });
  while (!begun) std::this_thread::yield();
  bool changed = false;
  const auto attempt_now = [&] {
    return WhenQuiescent(
        Watch(&Depth), Stacks::kControlledThreads,
        [&](OtherThreads) {
          changed = true;
          return absl::OkStatus();
        },
        std::chrono::milliseconds(20));
  };
  Attempt attempt = attempt_now();
  // The machine may not have run it in time.
  while (attempt.reason().find("'other'") != std::string::npos) {
    attempt = attempt_now();
  }
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("'stubborn'"));
  EXPECT_FALSE(changed);
  stop = true;
}

TEST(QuiescenceAtRendezvousTest, AnErrorOfTheChangeIsAFailure) {
  Looping worker("worker");
  worker.AwaitRounds();
  const absl::Status error = absl::InternalError("no luck");
  const Attempt attempt = WhenQuiescent(
      Watch(&Depth), Stacks::kControlledThreads,
      [&](OtherThreads) { return error; }, kLimit);
  EXPECT_TRUE(attempt.is_failed());
  EXPECT_EQ(attempt.reason(), "no luck");
}

// The caller's own stack counts, too: a thread asks about itself from within
// its update function.
TEST(QuiescenceAtRendezvousTest, OwnComputationOfAnUpdateFunction) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  std::atomic<bool> leave{false};
  std::atomic<bool> inside{false};
  ControlledThread thread = StartPassiveThread("worker", [&] {
    Depth(3, [&] {
      inside = true;
      while (!leave) UpdatePoint();
    });
    while (ThisControlledThread()->state() == ThreadState::kRunning &&
           Depth(1, [] {}) != -1) {
      UpdatePoint();
    }
  });
  while (!inside) std::this_thread::yield();
  ChangeOptions options(Stacks::kControlledThreads);
  options.limit = kLimit;
  Change update(Redefine(&Depth, &Depth2), options);
  UpdateRequest request = SetUpdateFunction(thread, update);
  request.Trigger();
  while (request.attempts() < 2) std::this_thread::yield();
  EXPECT_THAT(request.reason(), HasSubstr("thread 'worker'"));
  leave = true;
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
  thread.Join();
  EXPECT_TRUE(update.is_applied());
  EXPECT_TRUE(update.Undo().is_done());
}

// Each waits for the others at its rendezvous, and they for its lock.
TEST(QuiescenceAtRendezvousTest, ManyThreadsApplyTheSameAtOnce) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  std::list<Looping> workers;
  for (int i = 0; i < 4; ++i) workers.emplace_back("worker");
  for (const Looping& worker : workers) worker.AwaitRounds();
  ChangeOptions options(Stacks::kControlledThreads);
  options.limit = kLimit;
  Change update(Redefine(Price, &Price2), options);
  Change other(Redefine(&Depth, &Depth2), options);
  for (int round = 0; round < 10; ++round) {
    for (const bool apply : {true, false}) {
      std::vector<UpdateRequest> requests;
      for (const Looping& worker : workers) {
        for (Change* redefinition : {&update, &other}) {
          requests.push_back(SetUpdateFunction(
              worker.ref(), apply ? UpdateFunction(*redefinition)
                                  : redefinition->UndoFunction()));
        }
      }
      for (UpdateRequest& request : requests) request.Trigger();
      for (UpdateRequest& request : requests) {
        const absl::Status done = request.Await(kLimit);
        ASSERT_TRUE(done.ok()) << done;
        EXPECT_LT(request.attempts(), 2);
      }
      EXPECT_EQ(Price(7), apply ? 207 : 107);
      EXPECT_EQ(update.is_applied(), apply);
    }
  }
}

// Threads that start and end meanwhile.
TEST(QuiescenceAtRendezvousTest, ThreadsComeAndGo) {
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0};
  std::vector<std::thread> starters;
  for (int i = 0; i < 2; ++i) {
    starters.emplace_back([&] {
      while (!stop) {
        ControlledThread thread = StartPassiveThread("short", [&] {
          const int price = Price(7);
          if (price != 107 && price != 207) ++wrong;
          UpdatePoint();
        });
      }
    });
  }
  ChangeOptions options(Stacks::kControlledThreads);
  options.limit = kLimit;
  Change update(Redefine(Price, &Price2), options);
  for (int round = 0; round < 50; ++round) {
    Attempt attempt = Attempt::NotYet("");
    while (attempt.is_not_yet()) attempt = update.Apply();
    ASSERT_TRUE(attempt.is_done()) << attempt.reason();
    do attempt = update.Undo();
    while (attempt.is_not_yet());
    ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  }
  stop = true;
  for (std::thread& thread : starters) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace instar
