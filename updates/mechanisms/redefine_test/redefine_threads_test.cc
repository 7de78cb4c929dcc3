// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The stacks of other threads.

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/inside.h"
#include "base/testing/sanitizers.h"
#include "code/internal/text_patch.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

// Between two attempts: threads that are to leave a function need the
// processors.
constexpr std::chrono::milliseconds kPause(1);

// Tries until it is done. Bounded by the test's time limit; each attempt
// counts.
int ApplyAtLast(Change& update) {
  int attempts = 0;
  while (true) {
    ++attempts;
    const Attempt attempt = update.Apply();
    if (attempt.is_done()) return attempts;
    EXPECT_TRUE(attempt.is_not_yet()) << attempt.reason();
    if (attempt.is_failed()) return -1;
    std::this_thread::sleep_for(kPause);
  }
}
int UndoAtLast(Change& update) {
  int attempts = 0;
  while (true) {
    ++attempts;
    const Attempt attempt = update.Undo();
    if (attempt.is_done()) return attempts;
    EXPECT_TRUE(attempt.is_not_yet()) << attempt.reason();
    if (attempt.is_failed()) return -1;
    std::this_thread::sleep_for(kPause);
  }
}

// Tries until what stands in the way is an activation: a busy machine may not
// have run a thread in time, or a thread may have been on its way to the
// kernel.
std::string ReasonThatItIsActive(Change& update) {
  while (true) {
    const Attempt attempt = update.Apply();
    EXPECT_TRUE(attempt.is_not_yet()) << attempt.reason();
    if (!attempt.is_not_yet()) return "";
    if (attempt.reason().find("active: ") != std::string::npos) {
      return attempt.reason();
    }
    std::this_thread::yield();
  }
}

// One thread never leaves the old function while another uses it ("blocked"):
// refused, with the thread and the function named, for as long as that is so.
TEST(RedefineThreadsTest, ActiveOnAnotherThread) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  Change update(Redefine(&Depth, &Depth2), Stacks::kAllThreads);
  std::atomic<int> result{0};
  Inside other([&](const Inside::Stay& stay) { result = Depth(1000, stay); });
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Depth(2, [] {}), 2);
    const std::string reason = ReasonThatItIsActive(update);
    EXPECT_THAT(reason, HasSubstr("Depth"));
    EXPECT_THAT(reason, HasSubstr("thread '"));
  }
  other.Leave();
  EXPECT_EQ(result, 1000);
  ApplyAtLast(update);
  EXPECT_EQ(Depth(2, [] {}), -2);
  UndoAtLast(update);
}

// Waits until the request says "not yet" for a reason like this one.
void AwaitReason(const UpdateRequest& request, const std::string& part) {
  while (request.reason().find(part) == std::string::npos) {
    ASSERT_FALSE(request.is_finished()) << request.reason();
    std::this_thread::yield();
  }
}

// "blocked" among threads with update functions. Where all threads are asked
// for, the update comes to its time limit, and has done no harm. Where each
// thread is its own affair, one stays in the old version and the other gets the
// new.
TEST(RedefineThreadsTest, BlockedByAnotherControlledThread) {
  std::atomic<bool> stop{false}, leave{false}, inside{false};
  std::atomic<int> used{0}, uses{0}, stayed{0};
  ControlledThread stays = StartPassiveThread("stays", [&] {
    stayed = Depth(4, [&] {
      inside = true;
      while (!leave) UpdatePoint();
    });
  });
  ControlledThread user = StartPassiveThread("user", [&] {
    while (!stop) {
      used = Depth(2, [] {});
      ++uses;
      UpdatePoint();
    }
  });
  const auto await_use = [&](int result) {
    const int before = uses;
    while (uses < before + 2) std::this_thread::yield();
    EXPECT_EQ(used, result);
  };
  while (!inside) std::this_thread::yield();

  Change everywhere =
      Change(Redefine(&Depth, &Depth2), Stacks::kControlledThreads);
  UpdateRequest request = SetUpdateFunction(user, everywhere);
  request.Trigger();
  AwaitReason(request, "thread 'stays'");
  EXPECT_THAT(request.reason(), HasSubstr("Depth"));
  const absl::Status late = request.Await(std::chrono::milliseconds(1));
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  while (!request.Cancel()) std::this_thread::yield();
  EXPECT_FALSE(everywhere.is_applied());
  await_use(2);

  Change here(Redefine(&Depth, &Depth2), Stacks::kThisThread);
  request = SetUpdateFunction(user, here);
  request.Trigger();
  const absl::Status done = request.Await(std::chrono::seconds(60));
  EXPECT_TRUE(done.ok()) << done;
  await_use(-2);
  EXPECT_EQ(stayed, 0);  // in the old one still
  leave = true;
  stays.Join();
  EXPECT_EQ(stayed, 4);
  stop = true;
  user.Join();
  UndoAtLast(here);
  EXPECT_EQ(Depth(2, [] {}), 2);
}

// "contract", the frame being another thread's: the three switch together, and
// not before it has gone; a call is by one protocol from its begin to its end.
TEST(RedefineThreadsTest, ContractOnAnotherThread) {
  Change protocol(Redefine(Redefinitions()
                               .Add(&Relay, &Relay2)
                               .Add(&Send, &Send2)
                               .Add(&Receive, &Receive2)),
                  Stacks::kControlledThreads);
  std::atomic<int> in_between{0}, let_go{0}, misunderstood{0};
  ControlledThread other = StartPassiveThread("other", [&] {
    for (int call = 1; call <= 2; ++call) {
      misunderstood += Relay(5, [&] {
                         in_between = call;
                         while (let_go < call) UpdatePoint();
                       }) != 0;
    }
  });
  while (in_between < 1) std::this_thread::yield();
  EXPECT_THAT(ReasonThatItIsActive(protocol),
              AllOf(HasSubstr("Relay"), HasSubstr("thread 'other'")));
  EXPECT_EQ(Send(5), 10);  // none of them has switched
  UpdateRequest request = SetUpdateFunction(other, protocol);
  request.Trigger();
  AwaitReason(request, "Relay");
  let_go = 1;
  while (in_between < 2) std::this_thread::yield();
  // The second call began before the update was tried again, or after that.
  const bool is_new = protocol.is_applied();
  EXPECT_EQ(Send(5), is_new ? 15 : 10);
  let_go = 2;
  other.Join();
  EXPECT_EQ(misunderstood, 0);
  ApplyAtLast(protocol);
  EXPECT_EQ(Send(5), 15);
  EXPECT_EQ(Relay(5, [] {}), 0);
  UndoAtLast(protocol);
  EXPECT_EQ(Send(5), 10);
}

// What is not asked for is not looked at.
TEST(RedefineThreadsTest, ControlledThreadsOnly) {
  Change update = Change(Redefine(&Depth, &Depth2), Stacks::kControlledThreads);
  Inside not_controlled([](const Inside::Stay& stay) { Depth(3, stay); });
  ApplyAtLast(update);
  UndoAtLast(update);

  std::atomic<bool> inside{false};
  std::atomic<bool> leave{false};
  ControlledThread controlled = StartPassiveThread("worker", [&] {
    Depth(3, [&] {
      inside = true;
      while (!leave) UpdatePoint();
    });
  });
  while (!inside) std::this_thread::yield();
  EXPECT_THAT(ReasonThatItIsActive(update), HasSubstr("thread 'worker'"));
  // A thread that is stopped is no obstacle to changing other functions.
  Change other = Change(Redefine(&Price, &Price2), Stacks::kControlledThreads);
  EXPECT_GT(ApplyAtLast(other), 0);
  EXPECT_EQ(Price(7), 207);
  EXPECT_GT(UndoAtLast(other), 0);
  leave = true;
  controlled.Join();
  ApplyAtLast(update);
  UndoAtLast(update);
}

// The function is alive only on a continulet that is paused on another thread,
// which waits in the kernel.
TEST(RedefineThreadsTest, PausedContinuletOfAnotherThread) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  Change update(Redefine(&Depth, &Depth2), Stacks::kAllThreads);
  std::mutex lock;
  std::condition_variable changed;
  int phase = 0;
  const auto go = [&](int to) {
    std::lock_guard<std::mutex> hold(lock);
    phase = to;
    changed.notify_all();
  };
  const auto wait = [&](int for_phase) {
    std::unique_lock<std::mutex> hold(lock);
    changed.wait(hold, [&] { return phase == for_phase; });
  };
  std::thread other([&] {
    Continulet<void()> body("sleeper", [](ContinuletSelf<void()>& self) {
      Depth(5, [&] { self.Switch(); });
    });
    body.Switch();
    go(1);
    wait(2);
    body.Switch();
    go(3);
    wait(4);
  });
  wait(1);
  EXPECT_THAT(ReasonThatItIsActive(update),
              HasSubstr("in continulet 'sleeper'"));
  go(2);
  wait(3);
  ApplyAtLast(update);
  UndoAtLast(update);
  go(4);
  other.join();
}

TEST(RedefineThreadsTest, CalledInATightLoopByFourThreads) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  volatile bool stop = false;
  std::vector<long> wrong(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { wrong[i] = CallPrice(&stop); });
  }
  Change update(Redefine(&Price, &Price2), Stacks::kAllThreads);
  for (int round = 0; round < 10; ++round) {
    EXPECT_GT(ApplyAtLast(update), 0);
    EXPECT_EQ(Price(7), 207);
    EXPECT_GT(UndoAtLast(update), 0);
    EXPECT_EQ(Price(7), 107);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, Each(0));
}

TEST(RedefineThreadsTest, ThreadsStartAndEndMeanwhile) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0};
  std::vector<std::thread> starters;
  for (int i = 0; i < 2; ++i) {
    starters.emplace_back([&] {
      while (!stop) {
        std::thread([&] {
          const int price = Price(7);
          if (price != 107 && price != 207) ++wrong;
          if (Depth(20, [] {}) != 20) ++wrong;
        }).join();
      }
    });
  }
  Change update(Redefine(&Price, &Price2), Stacks::kAllThreads);
  for (int round = 0; round < 30; ++round) {
    EXPECT_GT(ApplyAtLast(update), 0);
    EXPECT_GT(UndoAtLast(update), 0);
  }
  stop = true;
  for (std::thread& thread : starters) thread.join();
  EXPECT_EQ(wrong, 0);
}

// The threads of this library, too, are stopped.
TEST(RedefineThreadsTest, AllThreadsFromAnUpdateFunction) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("worker", [&] {
    while (!stop) UpdatePoint();
  });
  Change update(Redefine(&Price, &Price2), Stacks::kAllThreads);
  UpdateRequest request = SetUpdateFunction(thread, update);
  request.Trigger();
  const absl::Status done = request.Await(std::chrono::seconds(60));
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(Price(7), 207);
  EXPECT_GT(UndoAtLast(update), 0);
  stop = true;
}

TEST(RedefineThreadsTest, AnyNumberOfThreads) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  std::mutex lock;
  std::condition_variable changed;
  for (int i = 0; i < 300; ++i) {
    threads.emplace_back([&] {
      std::unique_lock<std::mutex> hold(lock);
      changed.wait(hold, [&] { return stop.load(); });
    });
  }
  Change update(Redefine(&Price, &Price2), Stacks::kAllThreads);
  Attempt attempt = update.Apply();
  while (attempt.is_not_yet()) attempt = update.Apply();
  EXPECT_TRUE(attempt.is_done()) << attempt.status();
  EXPECT_TRUE(update.Undo().is_done());
  {
    std::lock_guard<std::mutex> hold(lock);
    stop = true;
  }
  changed.notify_all();
  for (std::thread& thread : threads) thread.join();
}

// More busy threads than the machine can run: they are stopped all the same,
// though each has to be run for it.
TEST(RedefineThreadsTest, SixtyBusyThreadsOnOneCore) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 60; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        for (int n = 0; n < 100000; ++n) asm volatile("");
        Price(7);
      }
    });
  }
  Change update(Redefine(&Price, &Price2), Stacks::kAllThreads);
  EXPECT_GT(ApplyAtLast(update), 0);
  EXPECT_EQ(Price(7), 207);
  EXPECT_GT(UndoAtLast(update), 0);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

std::atomic<bool> refuses_writes{false};

ssize_t WriteUnlessRefused(int file, const void* bytes, size_t size,
                           uintptr_t address) {
  if (!refuses_writes) {
    return code_internal::ScopedTextPatchCalls::Real().write_at(file, bytes,
                                                                size, address);
  }
  errno = EPERM;
  return -1;
}

// What goes wrong while all are stopped is told when they go on.
TEST(RedefineThreadsTest, AKernelThatRefusesIsAFailure) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  Inside busy([](const Inside::Stay& stay) { Depth(3, stay); });
  Change update(Redefine(&Price, &Price2), Stacks::kAllThreads);
  ASSERT_TRUE(update.Prepare().ok());
  code_internal::TextPatchCalls calls =
      code_internal::ScopedTextPatchCalls::Real();
  calls.write_at = &WriteUnlessRefused;
  {
    const code_internal::ScopedTextPatchCalls scoped(calls);
    refuses_writes = true;
    Attempt attempt = update.Apply();
    while (attempt.is_not_yet()) attempt = update.Apply();
    refuses_writes = false;
    EXPECT_TRUE(absl::IsPermissionDenied(attempt.status())) << attempt.status();
    EXPECT_THAT(attempt.reason(), HasSubstr("Operation not permitted"));
  }
  EXPECT_EQ(Price(7), 107);
  EXPECT_GT(ApplyAtLast(update), 0);
  EXPECT_EQ(Price(7), 207);
  EXPECT_GT(UndoAtLast(update), 0);
}

// A call that has begun goes on as it is, those that begin later do not.
TEST(RedefineAtOnceTest, WhoeverIsInside) {
  std::atomic<bool> is_inside{false};
  std::atomic<bool> may_leave{false};
  int answer = 0;
  ControlledThread caller = StartPassiveThread("caller", [&] {
    answer = Depth(3, [&] {
      is_inside = true;
      while (!may_leave) UpdatePoint();
    });
  });
  while (!is_inside) std::this_thread::yield();
  const auto nothing = [] {};
  Change waiting(Redefine(&Depth, &Depth2), Stacks::kControlledThreads);
  EXPECT_TRUE(waiting.Apply().is_not_yet());
  Change change(RedefineAtOnce(&Depth, &Depth2), Stacks::kControlledThreads);
  EXPECT_EQ(change.name().substr(0, 45),
            "redefine at once instar::updates_test::Depth(");
  for (int i = 0; i < 2; ++i) {
    ASSERT_GT(ApplyAtLast(change), 0);
    EXPECT_EQ(Depth(3, nothing), -3);
    ASSERT_GT(UndoAtLast(change), 0);
    EXPECT_EQ(Depth(3, nothing), 3);
  }
  ASSERT_GT(ApplyAtLast(change), 0);
  may_leave = true;
  caller.Join();
  EXPECT_EQ(answer, 3);
  ASSERT_GT(UndoAtLast(change), 0);
}

}  // namespace
}  // namespace instar
