// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Abseil's waits in blocking regions (threads/blocking_region.h).
//
//   absl::MutexLock lock(&mutex);
//   Wait(not_empty, mutex, [&] { return !queue.empty(); });  // absl::CondVar
//
//   AwaitReady(notification);                          // absl::Notification
//
// absl::Mutex::Await() is not there: whoever unlocks the mutex evaluates its
// condition, also while the waiting thread counts as stopped. Wait for a
// CondVar, whose predicate this thread evaluates, outside of the region.
//
// Threads: any, as Wait() and AwaitReady().

#ifndef INSTAR_THREADS_ABSL_WAITS_H_
#define INSTAR_THREADS_ABSL_WAITS_H_

#include <chrono>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "threads/blocking_region.h"
#include "threads/wait_adapter.h"

namespace instar {

template <>
struct WaitAdapter<absl::CondVar> {
  static void NotifyAll(absl::CondVar& condition) { condition.SignalAll(); }
  static void Wait(absl::CondVar& condition, absl::Mutex& mutex) {
    condition.Wait(&mutex);
  }
  static bool WaitUntil(absl::CondVar& condition, absl::Mutex& mutex,
                        std::chrono::steady_clock::time_point until) {
    return !condition.WaitWithTimeout(
        &mutex, absl::FromChrono(until - std::chrono::steady_clock::now()));
  }
};

template <>
struct WaitAdapter<absl::Notification> {
  static bool WaitFor(const absl::Notification& notification,
                      std::chrono::nanoseconds limit) {
    return notification.WaitForNotificationWithTimeout(absl::FromChrono(limit));
  }
};

}  // namespace instar

#endif  // INSTAR_THREADS_ABSL_WAITS_H_
