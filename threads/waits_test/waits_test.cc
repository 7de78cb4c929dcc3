// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Waits for conditions, futures and notifications.

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stdexcept>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "threads/absl_waits.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"
#include "threads/waits_test/blocked_threads.h"

namespace instar {
namespace {

using namespace threads_test;  // NOLINT: what is waited with

TEST(WaitsTest, RebootOutOfWaitReleasesTheLock) {
  std::mutex mutex;
  std::condition_variable condition;
  ExpectRebootOutOf(ThreadKind::kPassive, [&] {
    std::unique_lock<std::mutex> lock(mutex);
    Wait(condition, lock, [] { return false; });
  });
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
  ExpectRebootOutOf(ThreadKind::kPassive, [&] {
    std::unique_lock<std::mutex> lock(mutex);
    WaitFor(condition, lock, kForEver, [] { return false; });
  });
}

TEST(WaitsTest, RebootOutOfAWaitWithAnotherLock) {
  std::shared_mutex mutex;
  std::condition_variable_any condition;
  ExpectRebootOutOf(ThreadKind::kPassive, [&] {
    std::shared_lock<std::shared_mutex> lock(mutex);
    Wait(condition, lock, [] { return false; });
  });
  ExpectRebootOutOf(ThreadKind::kPassive, [&] {
    std::shared_lock<std::shared_mutex> lock(mutex);
    WaitFor(condition, lock, kForEver, [] { return false; });
  });
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST(WaitsTest, RebootOutOfAFuture) {
  std::promise<int> promise;
  const std::future<int> future = promise.get_future();
  ExpectRebootOutOf(ThreadKind::kPassive, [&] { AwaitReady(future); });
  ExpectRebootOutOf(ThreadKind::kPassive,
                    [&] { AwaitReadyFor(future, kForEver); });
  std::promise<void> other;
  const std::shared_future<void> shared = other.get_future();
  ExpectRebootOutOf(ThreadKind::kPassive, [&] { AwaitReady(shared); });
}

TEST(WaitsTest, RebootOutOfAbslWaits) {
  absl::Mutex mutex;
  absl::CondVar condition;
  ExpectRebootOutOf(ThreadKind::kPassive, [&] {
    absl::MutexLock lock(&mutex);
    Wait(condition, mutex, [] { return false; });
  });
  ExpectRebootOutOf(ThreadKind::kPassive, [&] {
    absl::MutexLock lock(&mutex);
    WaitFor(condition, mutex, kForEver, [] { return false; });
  });
  EXPECT_TRUE(mutex.TryLock());
  mutex.Unlock();
  absl::Notification notification;
  ExpectRebootOutOf(ThreadKind::kPassive, [&] { AwaitReady(notification); });
}

// Waits in a thread until `make_ready`, with a rendezvous in between.
void ExpectWaitEnds(const std::function<void()>& wait,
                    const std::function<void()>& make_ready) {
  ControlledThread thread = StartPassiveThread("waits", wait);
  AwaitBlocked(thread);
  RendezvousOptions options;
  options.grace = kForEver;
  absl::StatusOr<Rendezvous> rendezvous =
      Rendezvous::Hold({thread.ref()}, options);
  ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
  make_ready();
  EXPECT_NE(thread.state(), ThreadState::kRunning);
  rendezvous->Release();
  thread.Join();
}

TEST(WaitsTest, WaitsEndWhenTheyAreReady) {
  std::promise<int> promise;
  std::future<int> future = promise.get_future();
  ExpectWaitEnds([&] { AwaitReady(future); }, [&] { promise.set_value(3); });
  EXPECT_EQ(future.get(), 3);

  std::promise<int> failing;
  const std::shared_future<int> shared = failing.get_future();
  ExpectWaitEnds([&] { EXPECT_TRUE(AwaitReadyFor(shared, kForEver)); },
                 [&] {
                   failing.set_exception(
                       std::make_exception_ptr(std::runtime_error("no value")));
                 });
  EXPECT_THROW(shared.get(), std::runtime_error);

  absl::Notification notification;
  ExpectWaitEnds([&] { AwaitReady(notification); },
                 [&] { notification.Notify(); });

  absl::Mutex mutex;
  absl::CondVar condition;
  bool is_set = false;
  ExpectWaitEnds(
      [&] {
        absl::MutexLock lock(&mutex);
        Wait(condition, mutex, [&] { return is_set; });
      },
      [&] {
        absl::MutexLock lock(&mutex);
        is_set = true;
        condition.Signal();
      });
}

TEST(WaitsTest, WaitsHaveLimits) {
  constexpr std::chrono::milliseconds kShortly(5);
  std::promise<void> promise;
  const std::future<void> future = promise.get_future();
  absl::Notification notification;
  absl::Mutex mutex;
  absl::CondVar condition;
  RunControlled("limits", ThreadKind::kPassive, [&] {
    EXPECT_FALSE(AwaitReadyFor(future, kShortly));
    EXPECT_FALSE(AwaitReadyFor(future, std::chrono::seconds(-1)));
    EXPECT_FALSE(AwaitReadyFor(notification, kShortly));
    absl::MutexLock lock(&mutex);
    EXPECT_FALSE(WaitFor(condition, mutex, kShortly, [] { return false; }));
    mutex.AssertHeld();
    notification.Notify();
    promise.set_value();
    EXPECT_TRUE(AwaitReadyFor(future, std::chrono::seconds(-1)));
    EXPECT_TRUE(AwaitReadyFor(notification, kShortly));
  });
}

// Its function is the program's: update points in it are some.
TEST(WaitsTest, ADeferredFunctionRunsOutsideOfTheRegion) {
  RunControlled("deferred", ThreadKind::kPassive, [] {
    std::optional<ThreadState> state;
    const std::future<void> future = std::async(std::launch::deferred, [&] {
      state = ThisControlledThread()->state();
    });
    AwaitReady(future);
    EXPECT_EQ(state, ThreadState::kRunning);
  });
}

TEST(WaitsTest, WaitIsWokenByNotification) {
  std::mutex mutex;
  std::condition_variable condition;
  bool ready = false;
  ControlledThread thread = StartPassiveThread("waiter", [&] {
    std::unique_lock<std::mutex> lock(mutex);
    Wait(condition, lock, [&] { return ready; });
    EXPECT_TRUE(WaitFor(condition, lock, kForEver, [&] { return ready; }));
  });
  AwaitBlocked(thread);
  {
    std::lock_guard<std::mutex> lock(mutex);
    ready = true;
  }
  condition.notify_one();
}

}  // namespace
}  // namespace instar
