// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/controlled_thread.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/sanitizers.h"
#include "code/entries_here.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/held_reboot.h"
#include "threads/internal/thread_record.h"
#include "threads/rendezvous.h"
#include "threads/testing/functions_for_test.h"
#include "threads/update_point.h"
#include "threads/update_request.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace threads_test;  // NOLINT: the functions under test

constexpr std::chrono::seconds kLimit(60);

TEST(RunControlledTest, ControlledForAsLongAsTheFunctionRuns) {
  std::atomic<bool> stop{false}, begun{false};
  std::atomic<bool> after{false};
  std::thread pool([&] {
    EXPECT_FALSE(ThisControlledThread().has_value());
    RunControlled("worker", ThreadKind::kPassive, [&] {
      EXPECT_EQ(ThisControlledThread()->name(), "worker");
      EXPECT_EQ(ThisControlledThread()->kind(), ThreadKind::kPassive);
      EXPECT_EQ(ThisControlledThread()->state(), ThreadState::kRunning);
      begun = true;
      while (!stop) UpdatePoint();
    });
    EXPECT_FALSE(ThisControlledThread().has_value());
    EXPECT_TRUE(ControlledThreads("worker").empty());
    UpdatePoint();
    after = true;
  });
  while (!begun) std::this_thread::yield();
  const std::vector<ThreadRef> threads = ControlledThreads("worker");
  ASSERT_EQ(threads.size(), 1u);
  std::thread::id updated;
  UpdateRequest request = SetUpdateFunction(threads[0], [&](UpdateContext&) {
    updated = std::this_thread::get_id();
    return Attempt::Done();
  });
  request.Trigger();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(updated, pool.get_id());
  stop = true;
  pool.join();
  EXPECT_TRUE(after);
  EXPECT_EQ(threads[0].state(), ThreadState::kEnded);
}

// Sets it in an update function of the thread "worker", when that has begun.
void StopInUpdate(std::atomic<bool>& stop) {
  while (ControlledThreads("worker").empty()) std::this_thread::yield();
  UpdateRequest request =
      SetUpdateFunction(ControlledThreads("worker")[0], [&](UpdateContext&) {
        stop = true;
        return Attempt::Done();
      });
  request.Trigger();
  EXPECT_TRUE(request.Await(kLimit).ok());
}

TEST(RunControlledTest, ActiveAndAgain) {
  for (int i = 0; i < 3; ++i) {
    std::atomic<bool> stop{false};
    std::thread pool([&] {
      RunControlled("worker", ThreadKind::kActive, [&] { StepUntil(stop); });
    });
    StopInUpdate(stop);
    pool.join();
  }
}

TEST(RunControlledTest, RebootEndsItsFunctionAlone) {
  std::atomic<bool> begun{false}, rebooted{false}, after{false};
  std::thread pool([&] {
    RunControlled("worker", ThreadKind::kPassive, [&] {
      begun = true;
      while (true) UpdatePoint();
    });
    after = true;
  });
  while (!begun) std::this_thread::yield();
  UpdateRequest request = SetUpdateFunction(
      ControlledThreads("worker")[0], [&](UpdateContext& context) {
        return context.Reboot([&] { rebooted = true; });
      });
  request.Trigger();
  EXPECT_TRUE(request.Await(kLimit).ok());
  pool.join();
  EXPECT_TRUE(rebooted);
  EXPECT_TRUE(after);
}

TEST(RunControlledTest, ExceptionsGoOnToItsCaller) {
  EXPECT_THROW(RunControlled("worker", ThreadKind::kPassive,
                             [] { throw std::runtime_error("no luck"); }),
               std::runtime_error);
  EXPECT_FALSE(ThisControlledThread().has_value());
  EXPECT_TRUE(ControlledThreads("worker").empty());
}

TEST(ControlledThisThreadTest, ControlledForAsLongAsItLives) {
  for (const ThreadKind kind : {ThreadKind::kPassive, ThreadKind::kActive}) {
    std::atomic<bool> stop{false};
    std::thread pool([&] {
      {
        const ControlledThisThread worker("worker", kind);
        EXPECT_EQ(worker.ref(), *ThisControlledThread());
        EXPECT_EQ(worker.ref().kind(), kind);
        while (!stop) {
          if (kind == ThreadKind::kActive) {
            Step(1);
            if (!kHasFunctionEntries) UpdatePoint();
          } else {
            UpdatePoint();
          }
        }
      }
      EXPECT_FALSE(ThisControlledThread().has_value());
    });
    StopInUpdate(stop);
    pool.join();
    EXPECT_TRUE(ControlledThreads("worker").empty());
  }
}

TEST(ControlledThisThreadTest, IsHeldAndNotRebooted) {
  std::atomic<bool> stop{false};
  std::thread pool([&] {
    const ControlledThisThread worker("worker");
    while (!stop) UpdatePoint();
  });
  while (ControlledThreads("worker").empty()) std::this_thread::yield();
  {
    RendezvousOptions options;
    options.limit = kLimit;
    auto rendezvous = Rendezvous::HoldAll(options);
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    ASSERT_EQ(rendezvous->threads().size(), 1u);
    EXPECT_EQ(FindRebootObstacle(rendezvous->threads()[0]).kind,
              RebootObstacle::Kind::kNoBase);
  }
  UpdateRequest request = SetUpdateFunction(
      ControlledThreads("worker")[0],
      [](UpdateContext& context) { return context.Reboot([] {}); });
  request.Trigger();
  const absl::Status refused = request.Await(kLimit);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(refused.message(), HasSubstr("RunControlled()"));
  stop = true;
  pool.join();
}

TEST(ControlledThisThreadDeathTest, NotInAControlledThread) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(RunControlled("outer", ThreadKind::kPassive,
                             [] { ControlledThisThread inner("inner"); }),
               "inner.*outer");
}

TEST(ControlledThreadTest, ArgumentsAreMovedAndDestroyed) {
  auto value = std::make_unique<int>(7);
  int got = 0;
  StartActiveThread(
      "worker", [](std::unique_ptr<int> v, int* to) { *to = *v; },
      std::move(value), &got)
      .Join();
  EXPECT_EQ(got, 7);
}

TEST(ControlledThreadTest, NobodyElseIsHeld) {
  std::atomic<bool> stop{false};
  std::atomic<long> calls{0};
  std::thread plain([&] {
    while (!stop) {
      UpdatePoint();
      ++calls;
    }
  });
  {
    RendezvousOptions options;
    options.limit = kLimit;
    auto rendezvous = Rendezvous::HoldAll(options);
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    EXPECT_TRUE(rendezvous->threads().empty());
    const long before = calls;
    while (calls < before + 10) std::this_thread::yield();
  }
  stop = true;
  plain.join();
}

int handled = 0;
void PassAPoint(int) {
  UpdatePoint();
  Step(1);
  ++handled;
}

// Neither an explicit point nor an entry.
TEST(UpdatePointTest, DoesNothingInASignalHandler) {
  struct sigaction action = {}, before;
  action.sa_handler = &PassAPoint;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  for (const ThreadKind kind : {ThreadKind::kPassive, ThreadKind::kActive}) {
    handled = 0;
    std::atomic<bool> triggered{false};
    std::atomic<int> attempts_in_handler{-1};
    UpdateRequest* handle = nullptr;
    ControlledThread thread = StartThread("worker", kind, [&] {
      while (!triggered) std::this_thread::yield();
      // Something is due, as the thread itself sees it.
      while (threads_internal::this_thread.attention.load() == 0) {
        std::this_thread::yield();
      }
      raise(SIGUSR1);
      attempts_in_handler = handle->attempts();
      UpdatePoint();
    });
    UpdateRequest request = SetUpdateFunction(
        thread, [](UpdateContext&) { return Attempt::Done(); });
    handle = &request;
    request.Trigger();
    triggered = true;
    const absl::Status done = request.Await(kLimit);
    EXPECT_TRUE(done.ok()) << done;
    thread.Join();
    EXPECT_EQ(attempts_in_handler, 0);
    EXPECT_EQ(handled, 1);
  }
  sigaction(SIGUSR1, &before, nullptr);
}

// A thread that ends by pthread_exit() or pthread_cancel() at `place`.
enum class Exit { kFunction, kUpdateFunction, kCancelledInUpdateFunction };

void ExpectThreadEnds(Exit place) {
  auto owned = std::make_shared<int>(1);
  std::atomic<bool> go{false};
  std::thread pool([&] {
    RunControlled("worker", ThreadKind::kPassive, [&, on_stack = owned] {
      while (!go) std::this_thread::yield();
      if (place == Exit::kFunction) pthread_exit(nullptr);
      while (true) UpdatePoint();
    });
  });
  while (ControlledThreads("worker").empty()) std::this_thread::yield();
  const ThreadRef thread = ControlledThreads("worker")[0];
  UpdateRequest request = SetUpdateFunction(
      thread, [place, on_stack = owned](UpdateContext&) -> Attempt {
        if (place == Exit::kUpdateFunction) pthread_exit(nullptr);
        pthread_cancel(pthread_self());
        while (true) pthread_testcancel();
      });
  if (place != Exit::kFunction) request.Trigger();
  go = true;
  pool.join();
  EXPECT_EQ(thread.state(), ThreadState::kEnded);
  EXPECT_TRUE(ControlledThreads("worker").empty());
  const absl::Status status = request.Await(kLimit);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST(ControlledThreadTest, PthreadExitInItsFunction) {
  ExpectThreadEnds(Exit::kFunction);
}

TEST(ControlledThreadTest, PthreadExitInAnUpdateFunction) {
  INSTAR_SKIP_UNDER_TSAN(kExitsOnNoFiber);
  ExpectThreadEnds(Exit::kUpdateFunction);
}

TEST(ControlledThreadTest, PthreadCancelInAnUpdateFunction) {
  ExpectThreadEnds(Exit::kCancelledInUpdateFunction);
}

UpdateRequest StartReboot(const ThreadRef& thread,
                          std::function<void()> new_main) {
  UpdateRequest request = SetUpdateFunction(
      thread,
      [new_main](UpdateContext& context) { return context.Reboot(new_main); });
  request.Trigger();
  return request;
}

TEST(RunControlledTest, AnExceptionThatReplacesARebootGoesToTheCaller) {
  std::atomic<bool> caught{false};
  std::thread pool([&] {
    try {
      RunControlled("worker", ThreadKind::kPassive, [] {
        try {
          while (true) UpdatePoint();
        } catch (...) {
          throw std::runtime_error("instead");
        }
      });
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "instead");
      caught = true;
    }
  });
  while (ControlledThreads("worker").empty()) std::this_thread::yield();
  UpdateRequest request = StartReboot(ControlledThreads("worker")[0], [] {
    ADD_FAILURE() << "the thread had ended";
  });
  const absl::Status status = request.Await(kLimit);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  pool.join();
  EXPECT_TRUE(caught);
}

TEST(RunControlledTest, ARebootThatAFutureCarriesEndsNoOtherThread) {
  std::promise<void> promise;
  std::future<void> future = promise.get_future();
  std::atomic<bool> rebooted{false};
  ControlledThread target = StartPassiveThread("target", [&] {
    try {
      while (true) UpdatePoint();
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
    while (true) UpdatePoint();
  });
  std::atomic<bool> caught{false};
  testing::internal::CaptureStderr();
  std::thread pool([&] {
    try {
      RunControlled("innocent", ThreadKind::kPassive, [&] {
        future.get();
        ADD_FAILURE() << "nothing was thrown";
      });
      ADD_FAILURE() << "the thread ended without a word";
    } catch (...) {
      caught = true;  // as any exception would be
    }
  });
  UpdateRequest request = StartReboot(target, [&] { rebooted = true; });
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  pool.join();
  target.Join();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, testing::HasSubstr("thread 'innocent' was thrown a reboot "
                                       "of thread 'target'"));
  EXPECT_TRUE(caught);
  EXPECT_TRUE(rebooted);
}

}  // namespace
}  // namespace instar
