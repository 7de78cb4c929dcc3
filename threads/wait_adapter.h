// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How the waits of threads/blocking_region.h use what they wait for: the one
// place that says so, for each type.
//
//   template <>
//   struct instar::WaitAdapter<shop::Event> {
//     static bool WaitFor(const shop::Event& event,
//                         std::chrono::nanoseconds limit) {
//       return event.WaitAtMost(limit);
//     }
//   };
//
//   AwaitReady(event);
//
// There are two kinds. What is a condition, with a lock, is for Wait(): its
// adapter has NotifyAll(), Wait() and WaitUntil(). What is ready once and stays
// so is for AwaitReady(): its adapter has WaitFor().
//
// Here: all with the members of a std::condition_variable, futures and shared
// futures. In threads/absl_waits.h: absl::CondVar and absl::Notification.

#ifndef INSTAR_THREADS_WAIT_ADAPTER_H_
#define INSTAR_THREADS_WAIT_ADAPTER_H_

#include <chrono>
#include <condition_variable>
#include <future>

namespace instar {

// Of a condition that has the standard's members (std::condition_variable,
// std::condition_variable_any).
template <typename Condition>
struct WaitAdapter {
  // Called by another thread than waits, with no lock.
  static void NotifyAll(Condition& condition) { condition.notify_all(); }
  // May return spuriously.
  template <typename Lock>
  static void Wait(Condition& condition, Lock& lock) {
    condition.wait(lock);
  }
  // The same; false when the time is up.
  template <typename Lock>
  static bool WaitUntil(Condition& condition, Lock& lock,
                        std::chrono::steady_clock::time_point until) {
    return condition.wait_until(lock, until) != std::cv_status::timeout;
  }
};

namespace threads_internal {

template <typename Future>
struct FutureAdapter {
  // Whether it is ready, waiting no longer than that. May run program code if
  // nothing has to be waited for: AwaitReady() asks so first, outside of its
  // region.
  static bool WaitFor(const Future& future, std::chrono::nanoseconds limit) {
    const std::future_status status = future.wait_for(limit);
    // Its function is run by who waits.
    if (status == std::future_status::deferred) future.wait();
    return status != std::future_status::timeout;
  }
};

}  // namespace threads_internal

template <typename T>
struct WaitAdapter<std::future<T>>
    : threads_internal::FutureAdapter<std::future<T>> {};
template <typename T>
struct WaitAdapter<std::shared_future<T>>
    : threads_internal::FutureAdapter<std::shared_future<T>> {};

}  // namespace instar

#endif  // INSTAR_THREADS_WAIT_ADAPTER_H_
