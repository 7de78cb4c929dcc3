// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/update_request.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "base/testing/sanitizers.h"
#include "code/portable/needs_entries_for_test.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/stack_walker.h"
#include "threads/controlled_thread.h"
#include "threads/testing/functions_for_test.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace threads_test;  // NOLINT: the functions under test

// Longer than any test takes: an event that does not come fails the test.
constexpr std::chrono::seconds kLimit(60);
// For what must not happen.
constexpr std::chrono::milliseconds kShort(20);

void PollUntil(const std::atomic<bool>& stop) {
  while (!stop) {
    UpdatePoint();
    std::this_thread::yield();
  }
}

UpdateRequest Start(const ThreadRef& thread, UpdateFunction function,
                    UpdateOptions options = {}) {
  UpdateRequest request =
      SetUpdateFunction(thread, std::move(function), std::move(options));
  request.Trigger();
  return request;
}

TEST(UpdateRequestTest, RunsInTheThreadWhenTriggered) {
  const Looping polling("poll");
  std::atomic<pid_t> tid{0};
  UpdateRequest request =
      SetUpdateFunction(polling.ref(), [&](UpdateContext& context) {
        EXPECT_EQ(context.thread().state(), ThreadState::kInUpdateFunction);
        tid = gettid();
        return Attempt::Done();
      });
  EXPECT_EQ(request.Await(kShort).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(tid, 0);
  request.Trigger();
  EXPECT_TRUE(request.Await(kLimit).ok());
  EXPECT_EQ(tid, polling.ref().tid());
  EXPECT_EQ(request.attempts(), 1);
  EXPECT_FALSE(request.Cancel());
}

TEST(UpdateRequestTest, NotYetIsTriedAgainUntilItIsDone) {
  const Looping polling("poll");
  int attempts = 0;
  UpdateRequest request = Start(polling.ref(), [&](UpdateContext&) {
    return ++attempts < 10 ? Attempt::NotYet("busy") : Attempt::Done();
  });
  EXPECT_TRUE(request.Await(kLimit).ok());
  EXPECT_EQ(attempts, 10);
}

TEST(UpdateRequestTest, LatestReasonIsToldAndCancelEndsIt) {
  const Looping polling("poll");
  std::atomic<int> attempts{0};
  UpdateRequest request = Start(polling.ref(), [&](UpdateContext&) {
    return Attempt::NotYet("reason " + std::to_string(++attempts));
  });
  while (attempts < 3) std::this_thread::yield();
  const absl::Status status = request.Await(kShort);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("reason "));
  while (!request.Cancel()) std::this_thread::yield();
  EXPECT_EQ(request.Await(kLimit).code(), absl::StatusCode::kCancelled);
  // And the thread is free for the next.
  EXPECT_TRUE(
      Start(polling.ref(), [](UpdateContext&) { return Attempt::Done(); })
          .Await(kLimit)
          .ok());
}

TEST(UpdateRequestTest, FailureAndExceptionAreErrorsOfTheUpdate) {
  const Looping polling("poll");
  EXPECT_EQ(Start(polling.ref(),
                  [](UpdateContext&) {
                    return Attempt::Failed(absl::DataLossError("lost"));
                  })
                .Await(kLimit),
            absl::DataLossError("lost"));
  const absl::Status thrown =
      Start(polling.ref(), [](UpdateContext&) -> Attempt {
        throw std::runtime_error("bad luck");
      }).Await(kLimit);
  EXPECT_EQ(thrown.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(thrown.message()), HasSubstr("bad luck"));
}

TEST(UpdateRequestTest, ThreadThatEndsFinishesItsRequests) {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("short", [&stop] {
    while (!stop) std::this_thread::yield();
  });
  UpdateRequest pending =
      Start(thread, [](UpdateContext&) { return Attempt::Done(); });
  stop = true;
  EXPECT_EQ(pending.Await(kLimit).code(),
            absl::StatusCode::kFailedPrecondition);
  thread.Join();
  EXPECT_EQ(thread.state(), ThreadState::kEnded);
  EXPECT_EQ(Start(thread, [](UpdateContext&) { return Attempt::Done(); })
                .Await(kLimit)
                .code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(ControlledThreads("short").empty());
}

TEST(UpdateRequestTest, PointOfAGivenNameOnly) {
  std::atomic<bool> stop{false}, named{false};
  ControlledThread thread = StartPassiveThread("named", [&] {
    while (!stop) {
      UpdatePoint();
      if (named) UpdatePoint("here");
      UpdatePoint("elsewhere");
      std::this_thread::yield();
    }
  });
  std::string point;
  UpdateOptions options;
  options.point = "here";
  UpdateRequest request = Start(
      thread,
      [&](UpdateContext& context) {
        point = std::string(context.point());
        return Attempt::Done();
      },
      options);
  EXPECT_FALSE(request.Await(kShort).ok());
  named = true;
  EXPECT_TRUE(request.Await(kLimit).ok());
  EXPECT_EQ(point, "here");
  stop = true;
}

// The paper's rule: checking quiescence is the update function's task.
TEST(UpdateRequestTest, OwnComputationIsPausedAndWalkable) {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("walked", [&stop] {
    Continulet<void()> paused("paused", [](auto& self) { self.Switch(); });
    paused.Switch();
    Continulet<void()> inner(
        "inner", [&stop](auto&) { CallThrough([&stop] { PollUntil(stop); }); });
    inner.Switch();
  });
  bool complete = false, found = false;
  std::size_t paused = 0;
  const auto code = reinterpret_cast<std::uintptr_t>(&CallThrough);
  UpdateRequest request = Start(thread, [&](UpdateContext& context) {
    complete = WalkStack(context.stack(), [&](const Frame& frame) {
                 if (frame.pc > code && frame.pc < code + 256) found = true;
                 return true;
               }).complete();
    paused = context.paused_continulets().size();
    return Attempt::Done();
  });
  EXPECT_TRUE(request.Await(kLimit).ok());
  EXPECT_TRUE(complete);
  EXPECT_TRUE(found);
  EXPECT_EQ(paused, 1u);
  stop = true;
}

TEST(UpdateRequestTest, NoUpdatePointInAnUpdateFunction) {
  const Looping polling("poll");
  std::atomic<int> inner{0};
  std::optional<UpdateRequest> other;
  UpdateRequest request = Start(polling.ref(), [&](UpdateContext& context) {
    UpdateRequest second = Start(context.thread(), [&inner](UpdateContext&) {
      ++inner;
      return Attempt::Done();
    });
    UpdatePoint();
    EXPECT_EQ(inner, 0);
    other = second;
    return Attempt::Done();
  });
  EXPECT_TRUE(request.Await(kLimit).ok());
  EXPECT_TRUE(other->Await(kLimit).ok());
  EXPECT_EQ(inner, 1);
}

TEST(UpdateRequestTest, NoneInANoUpdateScope) {
  std::atomic<bool> stop{false}, leave{false};
  ControlledThread thread = StartPassiveThread("scoped", [&] {
    {
      NoUpdateScope outer;
      { NoUpdateScope inner; }
      PollUntil(leave);
    }
    PollUntil(stop);
  });
  UpdateRequest request =
      Start(thread, [](UpdateContext&) { return Attempt::Done(); });
  EXPECT_FALSE(request.Await(kShort).ok());
  EXPECT_EQ(request.attempts(), 0);
  leave = true;
  EXPECT_TRUE(request.Await(kLimit).ok());
  stop = true;
}

TEST(UpdateRequestTest, ActiveThreadIsUpdatedAtAnEntry) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  std::atomic<bool> stop{false};
  ControlledThread thread =
      StartActiveThread("active", [&stop] { StepUntil(stop); });
  for (int i = 0; i < 20; ++i) {
    bool step_is_on_stack = true, caller_is = false;
    UpdateRequest request = Start(thread, [&](UpdateContext& context) {
      const auto step = reinterpret_cast<std::uintptr_t>(&Step);
      step_is_on_stack = false;
      WalkStack(context.stack(), [&](const Frame& frame) {
        if (frame.depth == 0) {
          const auto caller = reinterpret_cast<std::uintptr_t>(&StepUntil);
          caller_is = frame.pc > caller && frame.pc < caller + 256;
        }
        if (frame.pc >= step && frame.pc < step + 8) step_is_on_stack = true;
        return true;
      });
      return Attempt::Done();
    });
    EXPECT_TRUE(request.Await(kLimit).ok());
    EXPECT_FALSE(step_is_on_stack);
    EXPECT_TRUE(caller_is);
  }
  stop = true;
}

TEST(UpdateRequestTest, RebootRunsAnotherFunctionOnTheSameThread) {
  std::atomic<bool> rebooted{false};
  std::mutex mutex;
  auto shared = std::make_shared<int>(1);
  pid_t new_tid = 0;
  ControlledThread thread = StartPassiveThread("old", [&] {
    std::lock_guard<std::mutex> lock(mutex);
    auto held = std::make_unique<std::shared_ptr<int>>(shared);
    std::atomic<bool> never{false};
    PollUntil(never);
  });
  const pid_t tid = [&] {
    while (thread.ref().tid() == 0) std::this_thread::yield();
    return thread.ref().tid();
  }();
  UpdateRequest request = Start(thread, [&](UpdateContext& context) {
    return context.Reboot([&] {
      const bool is_free = mutex.try_lock();
      EXPECT_TRUE(is_free);
      if (is_free) mutex.unlock();
      EXPECT_EQ(shared.use_count(), 1);
      new_tid = gettid();
      rebooted = true;
    });
  });
  EXPECT_TRUE(request.Await(kLimit).ok());
  thread.Join();
  EXPECT_TRUE(rebooted);
  EXPECT_EQ(new_tid, tid);
}

TEST(UpdateRequestTest, RebootOfAnActiveThreadAtAnEntry) {
  for (int i = 0; i < 10; ++i) {
    std::atomic<bool> rebooted{false};
    ControlledThread thread =
        StartActiveThread("active", [] { StepForEver(); });
    UpdateRequest request = Start(thread, [&](UpdateContext& context) {
      return context.Reboot([&] { rebooted = true; });
    });
    EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
    thread.Join();
    EXPECT_TRUE(rebooted);
  }
}

TEST(UpdateRequestTest, RebootOutOfAContinulet) {
  INSTAR_SKIP_UNDER_TSAN(kCallsBetweenLandingPads);
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartPassiveThread("inner", [] {
    Continulet<void()> inner("inner", [](auto&) {
      std::atomic<bool> never{false};
      PollUntil(never);
    });
    inner.Switch();
  });
  UpdateRequest request = Start(thread, [&](UpdateContext& context) {
    return context.Reboot([&] { rebooted = true; });
  });
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  thread.Join();
  EXPECT_TRUE(rebooted);
}

TEST(UpdateRequestTest, NoexceptFrameIsNotYetThenDone) {
  std::atomic<bool> leave{false}, rebooted{false};
  ControlledThread thread = StartPassiveThread("noexcept", [&] {
    CallThroughNoexcept([&leave] { PollUntil(leave); });
    std::atomic<bool> never{false};
    PollUntil(never);
  });
  UpdateRequest request = Start(thread, [&](UpdateContext& context) {
    return context.Reboot([&] { rebooted = true; });
  });
  while (request.attempts() < 2) std::this_thread::yield();
  const absl::Status status = request.Await(kShort);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("CallThroughNoexcept"));
  EXPECT_FALSE(rebooted);
  leave = true;
  EXPECT_TRUE(request.Await(kLimit).ok());
  thread.Join();
  EXPECT_TRUE(rebooted);
}

TEST(UpdateRequestTest, SwallowedRebootIsOnlyDelayed) {
  std::atomic<int> swallowed{0};
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartPassiveThread("stubborn", [&] {
    std::atomic<bool> never{false};
    while (swallowed < 3) {
      try {
        PollUntil(never);
      } catch (...) {
        ++swallowed;
      }
    }
    PollUntil(never);
  });
  UpdateRequest request = Start(thread, [&](UpdateContext& context) {
    return context.Reboot([&] { rebooted = true; });
  });
  EXPECT_TRUE(request.Await(kLimit).ok());
  thread.Join();
  EXPECT_EQ(swallowed, 3);
  EXPECT_TRUE(rebooted);
}

}  // namespace
}  // namespace instar
