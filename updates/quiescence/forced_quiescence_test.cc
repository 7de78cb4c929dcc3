// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/forced_quiescence.h"

#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/sanitizers.h"
#include "code/function_entry.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/activity.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/held_reboot.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using testing::Each;
using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

constexpr std::chrono::seconds kLimit(60);
// For what must be given up: nothing depends on how long it is.
constexpr std::chrono::milliseconds kShort(20);

ChangeOptions Forced(Stacks stacks, std::chrono::nanoseconds limit) {
  ChangeOptions options(stacks);
  options.limit = kLimit;
  options.forced_quiescence = limit;
  return options;
}

ForcedQuiescence Force(int (*function)(int, const std::function<void()>&),
                       std::chrono::nanoseconds limit = kLimit) {
  const Function depth = *Function::Of(function);
  auto forced =
      ForcedQuiescence::Begin({depth}, *WatchedFunctions::Make({depth}),
                              ForcedQuiescence::Clock::now() + limit);
  EXPECT_TRUE(forced.ok()) << forced.status();
  return *std::move(forced);
}

void AwaitState(const ControlledThread& thread, ThreadState state) {
  while (thread.state() != state) std::this_thread::yield();
}

// Without force, as good as never: some thread is always inside.
TEST(ForcedQuiescenceTest, FourThreadsInTightLoops) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  volatile bool stop = false;
  std::vector<long> wrong(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { wrong[i] = CallDwell(&stop); });
  }
  Change update =
      Change(Redefine(&Dwell, &Dwell2), Forced(Stacks::kAllThreads, kLimit));
  for (int round = 0; round < 10; ++round) {
    Attempt attempt = update.Apply();
    EXPECT_TRUE(attempt.is_done()) << attempt.reason();
    EXPECT_EQ(Dwell(1), 3);
    attempt = update.Undo();
    EXPECT_TRUE(attempt.is_done()) << attempt.reason();
    EXPECT_EQ(Dwell(1), 2);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, Each(0));
}

// What it is all about: new calls wait, recursive ones pass, old ones drain.
TEST(ForcedQuiescenceTest, NewOnesWaitRecursiveOnesPassOldOnesDrain) {
  std::atomic<bool> inside{false}, leave{false};
  std::atomic<int> old_result{0}, new_result{0};
  ControlledThread old_call = StartPassiveThread("old", [&] {
    old_result = Depth(3, [&] {
      inside = true;
      while (!leave) UpdatePoint();
      // Deep, and with continulets in between.
      EXPECT_EQ(Depth(1000,
                      [] {
                        Continulet<void()> body("inner",
                                                [](ContinuletSelf<void()>&) {
                                                  EXPECT_EQ(Depth(1, [] {}), 1);
                                                });
                        body.Switch();
                      }),
                1000);
    });
  });
  while (!inside) std::this_thread::yield();
  Change update = Change(Redefine(&Depth, &Depth2),
                         Forced(Stacks::kControlledThreads, kLimit));
  Attempt attempt = Attempt::NotYet("");
  std::thread updater([&] { attempt = update.Apply(); });
  // New calls, until one has to wait.
  std::atomic<long> passed{0};
  ControlledThread new_call = StartPassiveThread("new", [&] {
    while ((new_result = Depth(2, [] {})) == 2) {
      ++passed;
      UpdatePoint();
    }
  });
  AwaitState(new_call, ThreadState::kBlocked);
  const long before = passed;
  leave = true;
  updater.join();
  EXPECT_TRUE(attempt.is_done()) << attempt.reason();
  new_call.Join();
  old_call.Join();
  EXPECT_EQ(passed, before);
  EXPECT_EQ(old_result, 3);
  EXPECT_EQ(new_result, -2);  // it went on in the new version
  EXPECT_TRUE(update.Undo().is_done());
}

TEST(ForcedQuiescenceTest, GivenUpWithoutHarm) {
  std::atomic<bool> inside{false}, leave{false};
  std::atomic<int> results{0};
  ControlledThread old_call = StartPassiveThread("old", [&] {
    results += Depth(1000, [&] {
      inside = true;
      while (!leave) UpdatePoint();
    });
  });
  while (!inside) std::this_thread::yield();
  std::atomic<bool> stop{false};
  std::atomic<long> calls{0};
  const auto call = [&] {
    while (!stop) {
      EXPECT_EQ(Depth(1, [] {}), 1);
      ++calls;
      UpdatePoint();
    }
  };
  ControlledThread controlled = StartActiveThread("new", call);
  std::thread plain(call);
  for (const Stacks stacks :
       {Stacks::kControlledThreads, Stacks::kAllThreads}) {
    Change update = Change(Redefine(&Depth, &Depth2), Forced(stacks, kShort));
    const Attempt attempt = update.Apply();
    EXPECT_TRUE(attempt.is_not_yet()) << attempt.reason();
    EXPECT_THAT(attempt.reason(), HasSubstr("given up after 20 ms"));
    EXPECT_FALSE(update.is_applied());
    // Everybody goes on.
    const long before = calls;
    while (calls < before + 100) std::this_thread::yield();
  }
  stop = true;
  leave = true;
  old_call.Join();
  controlled.Join();
  plain.join();
  EXPECT_EQ(results, 1000);
  Change update = Change(Redefine(&Depth, &Depth2),
                         Forced(Stacks::kControlledThreads, kShort));
  EXPECT_TRUE(update.Apply().is_done());
  EXPECT_EQ(Depth(1, [] {}), -1);
  EXPECT_TRUE(update.Undo().is_done());
}

// The one inside needs a lock that one at the entry owns.
TEST(ForcedQuiescenceTest, TheLimitEndsADeadlock) {
  std::mutex mutex;
  std::atomic<bool> inside{false}, owned{false}, forced_begun{false};
  ControlledThread old_call = StartPassiveThread("old", [&] {
    Depth(2, [&] {
      inside = true;
      while (!owned) std::this_thread::yield();
      std::lock_guard<std::mutex> lock(mutex);
    });
  });
  while (!inside) std::this_thread::yield();
  ControlledThread new_call = StartPassiveThread("new", [&] {
    std::lock_guard<std::mutex> lock(mutex);
    owned = true;
    while (!forced_begun) std::this_thread::yield();
    EXPECT_EQ(Depth(1, [] {}), 1);
  });
  while (!owned) std::this_thread::yield();
  {
    const ForcedQuiescence forced = Force(&Depth, kShort);
    forced_begun = true;
    new_call.Join();  // it went on though nobody has ended the force
    EXPECT_EQ(forced.waited(), 1);
  }
  old_call.Join();
}

TEST(ForcedQuiescenceTest, AThreadThatWaitsCountsAsStopped) {
  std::atomic<int> result{0};
  ControlledThread thread;
  {
    const ForcedQuiescence forced = Force(&Depth);
    thread = StartActiveThread("new", [&] { result = Depth(4, [] {}); });
    AwaitState(thread, ThreadState::kBlocked);
    RendezvousOptions options;
    options.limit = kLimit;
    auto rendezvous = Rendezvous::HoldAll(options);
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    ASSERT_EQ(rendezvous->threads().size(), 1u);
    const HeldThread& held = rendezvous->threads()[0];
    EXPECT_FALSE(held.is_interrupted);
    ASSERT_EQ(held.stacks.size(), 1u);
    // The function has not begun.
    EXPECT_TRUE(
        FindActivity(held.stacks[0],
                     WatchedFunctions::Make({*Function::Of(&Depth)})->set())
            .quiescent());
    EXPECT_EQ(FindRebootObstacle(held).kind, RebootObstacle::Kind::kWaiting);
    EXPECT_EQ(result, 0);
  }
  thread.Join();
  EXPECT_EQ(result, 4);
}

// It waits at the entry, and at the end of the force for the rendezvous.
TEST(ForcedQuiescenceTest, HeldWhenItHasWaited) {
  std::atomic<int> result{0};
  auto forced = std::make_unique<ForcedQuiescence>(Force(&Depth));
  ControlledThread thread =
      StartPassiveThread("new", [&] { result = Depth(4, [] {}); });
  AwaitState(thread, ThreadState::kBlocked);
  {
    RendezvousOptions options;
    options.limit = kLimit;
    auto rendezvous = Rendezvous::HoldAll(options);
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    forced.reset();
    AwaitState(thread, ThreadState::kHeld);
    EXPECT_EQ(result, 0);
  }
  thread.Join();
  EXPECT_EQ(result, 4);
}

TEST(ForcedQuiescenceTest, PausedContinuletPasses) {
  std::atomic<bool> forced_begun{false}, paused{false};
  std::thread thread([&] {
    Continulet<void()> generator("generator", [](ContinuletSelf<void()>& self) {
      Depth(2, [&] { self.Switch(); });
    });
    generator.Switch();
    paused = true;
    while (!forced_begun) std::this_thread::yield();
    // Only this thread can let it drain.
    EXPECT_EQ(Depth(1, [] {}), 1);
    generator.Switch();
    EXPECT_FALSE(generator.is_pending());
  });
  while (!paused) std::this_thread::yield();
  const ForcedQuiescence forced = Force(&Depth);
  forced_begun = true;
  thread.join();
  EXPECT_EQ(forced.waited(), 0);
}

int handled = 0;
void CallDepth(int) {
  handled = Depth(5, [] {});
}

TEST(ForcedQuiescenceTest, WhoMustNotWaitPasses) {
  ControlledThread idle;
  std::atomic<bool> stop{false};
  idle = StartPassiveThread("idle", [&] {
    while (!stop) UpdatePoint();
  });
  const ForcedQuiescence forced = Force(&Depth);
  // Who began it.
  EXPECT_EQ(Depth(1, [] {}), 1);
  std::thread([] {
    {
      const NoUpdateScope no_update;
      EXPECT_EQ(Depth(2, [] {}), 2);
    }
    struct sigaction action = {}, before;
    action.sa_handler = &CallDepth;
    ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
    raise(SIGUSR1);
    EXPECT_EQ(handled, 5);
    sigaction(SIGUSR1, &before, nullptr);
  }).join();
  // An update function.
  UpdateRequest request = SetUpdateFunction(idle, [](UpdateContext&) {
    EXPECT_EQ(Depth(3, [] {}), 3);
    return Attempt::Done();
  });
  request.Trigger();
  EXPECT_TRUE(request.Await(kLimit).ok());
  EXPECT_EQ(forced.waited(), 0);
  stop = true;
}

TEST(ForcedQuiescenceTest, FromAnUpdateFunction) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> stop{false};
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      while (!stop) Dwell(1);
    });
  }
  ControlledThread thread = StartPassiveThread("worker", [&] {
    while (!stop) {
      Dwell(1);
      UpdatePoint();
    }
  });
  Change update =
      Change(Redefine(&Dwell, &Dwell2), Forced(Stacks::kAllThreads, kLimit));
  UpdateRequest request = SetUpdateFunction(thread, update);
  request.Trigger();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(Dwell(1), 3);
  UpdateRequest undo = SetUpdateFunction(thread, update.UndoFunction());
  undo.Trigger();
  EXPECT_TRUE(undo.Await(kLimit).ok());
  EXPECT_EQ(Dwell(1), 2);
  stop = true;
  for (std::thread& caller : callers) caller.join();
}

// It cannot drain while its own thread waits for that.
TEST(ForcedQuiescenceTest, NotTriedFromInside) {
  Change update = Change(Redefine(&Depth, &Depth2),
                         Forced(Stacks::kControlledThreads, kLimit));
  Attempt attempt = Attempt::Done();
  EXPECT_EQ(Depth(7, [&] { attempt = update.Apply(); }), 7);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("Depth"));
}

TEST(ForcedQuiescenceTest, NeedsMoreStacksThanItsOwn) {
  EXPECT_EQ(
      Change(Redefine(&Price, &Price2), Forced(Stacks::kThisThread, kLimit))
          .Prepare()
          .code(),
      absl::StatusCode::kInvalidArgument);
}

// Two at once, of functions that they share: a call waits for both.
TEST(ForcedQuiescenceTest, TwoAtOnce) {
  std::atomic<int> result{0};
  auto first = std::make_unique<ForcedQuiescence>(Force(&Depth));
  auto second = std::make_unique<ForcedQuiescence>(Force(&Depth));
  std::thread thread([&] { result = Depth(4, [] {}); });
  while (first->waited() == 0) std::this_thread::yield();
  first.reset();
  while (second->waited() == 0) std::this_thread::yield();
  EXPECT_EQ(result, 0);
  second.reset();
  thread.join();
  EXPECT_EQ(result, 4);
}

}  // namespace
}  // namespace instar
