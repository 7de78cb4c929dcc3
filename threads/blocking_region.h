// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Stretches in which a controlled thread waits, and updates may go on without
// it.
//
//   AwaitReadable(listener);  // loses nothing if the thread is rebooted here
//   int connection = accept(listener, nullptr, nullptr);
//   UpdatePoint();
//
//   Blocking([&] { return poll(inputs, count, -1); });
//
//   std::unique_lock<std::mutex> lock(mutex);
//   Wait(not_empty, lock, [&] { return !queue.empty(); });
//   if (!WaitFor(not_empty, lock, std::chrono::seconds(1), ready)) ...
//   AwaitReady(future);
//   SleepFor(std::chrono::seconds(10));
//
// A thread in a blocking region counts as stopped: a rendezvous does not wait
// for it, its stack can be walked, and when the call returns, the thread waits
// until the rendezvous is over. The walk begins at the function that called
// Blocking(), so the callable is the system call and little else: it must not
// call functions that can be updated nor touch objects that can be converted.
// Update points in it do nothing.
//
// An update that asks for a named point (UpdatePoint("between requests")) holds
// nobody in another region, which may lie in the middle of a request. A region
// that lies at that point says so:
//
//   Blocking("between requests", [&] { return poll(inputs, count, -1); });
//
// A region is no update point, with one exception: update functions that were
// set with `interrupt_blocking_calls`, as a reboot needs it. They get the
// thread out of the call and run when it has returned; a reboot is thrown out
// of Blocking(), Wait() or SleepFor(), so these must not be called where no
// exception may pass. How it is got out:
//   - Blocking(): by a real-time signal without a default use in the program,
//     whose handler does nothing, so that the system call returns EINTR; sent
//     again every millisecond until the call is left, since one that comes just
//     before the call has no effect. It is never sent outside of the region. If
//     the callable then returns -1, as a signed integer (not bool), and has set
//     errno to EINTR, and the thread is not rebooted, the callable is called
//     again, as by SA_RESTART: one that waits with a limit (poll) computes it
//     anew each time.
//   - Wait(): by notify_all(), which other waiters take for a spurious wakeup.
//   - SleepFor(): by the signal; it sleeps on until its time.
//   - AwaitReady(): nothing ends the wait for a future but its result. So it
//     looks ten times a second whether it is to go on.
// Without such an update nothing is different from the bare call: SA_RESTART,
// the program's signals and limits are as ever, and errno is kept.
//
// What the callable has returned is lost when a reboot is thrown: the
// connection that was accepted, the bytes that were read. So a callable takes
// nothing: it waits until there is something, as AwaitReadable() does, and what
// takes it (accept(), read(), recv()) comes afterwards, outside of the region.
// That may find nothing after all, when another thread was faster or the client
// has gone: then a blocking descriptor waits outside of any region, where the
// thread is no longer stopped. Make listeners that several threads share, and
// those of servers that must not hang, non-blocking (O_NONBLOCK), and wait
// again on EAGAIN.
//
// In a thread that is not controlled, in an update function, in a signal
// handler that interrupted this library and while a NoUpdateScope is alive, all
// of these are the bare call.
//
// The reasons for Wait() and SleepFor(): std::condition_variable::wait() and
// std::this_thread::sleep_for() swallow the interruption.
//
// Threads: any. A region costs two locks of a mutex that nobody else wants,
// about 40 ns. Exceptions of the callable pass; then no reboot is thrown.
// Limit: a thread that blocks the signal stays in its call.

#ifndef INSTAR_THREADS_BLOCKING_REGION_H_
#define INSTAR_THREADS_BLOCKING_REGION_H_

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/linux/deadline.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/thread_record.h"
#include "threads/wait_adapter.h"

namespace instar {
namespace threads_internal {

// Of the blocking calls of this thread by a signal.
Wakeup WakeupBySignal();
template <typename Condition>
Wakeup WakeupByNotifying(Condition* condition) {
  return Wakeup{
      [](const ThreadRecord&, void* notified) {
        WaitAdapter<Condition>::NotifyAll(*static_cast<Condition*>(notified));
        return true;
      },
      condition};
}
// Of a wait that is left every now and then in any case.
inline Wakeup WakeupByItself() {
  return Wakeup{[](const ThreadRecord&, void*) { return true; }, nullptr};
}

// The calling thread is blocked from the construction until Leave().
class BlockingRegion {
 public:
  explicit BlockingRegion(Wakeup wakeup, absl::string_view point = "");
  // The same for a caller that goes on behind `entered`
  // (INSTAR_SNAPSHOT_AT_MY_CALL), the call of a function that constructs this
  // and returns.
  BlockingRegion(Wakeup wakeup, absl::string_view point,
                 const StackSnapshot& entered);
  // Leaves if Leave() was not called, because of an exception.
  ~BlockingRegion();
  BlockingRegion(const BlockingRegion&) = delete;
  BlockingRegion& operator=(const BlockingRegion&) = delete;

  // Waits while the thread is held; throws if it is rebooted. Returns whether
  // the call was interrupted for an update. Keeps errno.
  bool Leave();

  // Whether the thread is blocked in this region: not if it could not enter it
  // (see above), nor when it has left it.
  bool entered() const { return entered_; }
  absl::string_view point() const { return point_; }
  // As Leave(), without update functions and reboots: those wait for the
  // thread's next update point. Throws nothing.
  bool LeaveQuietly();
  // The other half of Leave(): what waits for the thread happens at this place.
  static void RunWhatWaits(absl::string_view point,
                           const StackSnapshot& caller);
  // Blocked again, after LeaveQuietly(), within the function that has entered.
  void EnterAgain();

 private:
  void EnterFrom(const StackSnapshot& caller);
  void Enter();

  const Wakeup wakeup_;
  const absl::string_view point_;
  bool entered_ = false;
  StackSnapshot stack_;
  std::vector<StackSnapshot> switchers_;  // of stack_
};

// Sleeps until then, or spuriously less.
void SleepOnce(std::chrono::steady_clock::time_point until);

}  // namespace threads_internal

// Calls `callable` in a blocking region that lies at the point of this name,
// and returns what it returns. The name is looked at until this returns.
template <typename Callable>
std::invoke_result_t<Callable&> Blocking(absl::string_view point,
                                         Callable&& callable) {
  using Result = std::invoke_result_t<Callable&>;
  while (true) {
    threads_internal::BlockingRegion region(threads_internal::WakeupBySignal(),
                                            point);
    if constexpr (std::is_void_v<Result>) {
      callable();
      region.Leave();
      return;
    } else if constexpr (std::is_integral_v<Result> &&
                         std::is_signed_v<Result> &&
                         !std::is_same_v<Result, char>) {
      // What errno says is of this call, or it says what it said before.
      const int errno_before = std::exchange(errno, 0);
      const Result result = callable();
      const bool interrupted = result == Result{-1} && errno == EINTR;
      if (errno == 0) errno = errno_before;
      if (region.Leave() && interrupted) continue;
      return result;
    } else {
      Result result = callable();
      region.Leave();
      return std::forward<Result>(result);
    }
  }
}

// The same in a region without a name.
template <typename Callable>
std::invoke_result_t<Callable&> Blocking(Callable&& callable) {
  return Blocking(absl::string_view(), std::forward<Callable>(callable));
}

// Waits in a blocking region until a read from `descriptor` (an accept, for a
// listener) would not wait: there is something, or the end, or an error, which
// that call then tells. Interrupted by signals of the program, it waits on.
// Keeps errno.
void AwaitReadable(int descriptor);
// The same for writes.
void AwaitWritable(int descriptor);
// The same until `limit` has passed: false then.
bool AwaitReadableFor(int descriptor, std::chrono::nanoseconds limit);
bool AwaitWritableFor(int descriptor, std::chrono::nanoseconds limit);

// As condition.wait(lock, predicate). The predicate is evaluated outside of the
// region. A thread that is held or rebooted has the lock. A condition is a
// std::condition_variable, a std::condition_variable_any with whatever lock it
// takes, what has the same members, or what has a WaitAdapter
// (threads/wait_adapter.h), as absl::CondVar with an absl::Mutex has
// (threads/absl_waits.h). What waits by means of a library's own waits in an
// IdleScope (threads/idle_scope.h), whose `wake` is what ends that wait.
template <typename Condition, typename Lock, typename Predicate>
void Wait(Condition& condition, Lock& lock, Predicate predicate) {
  while (!predicate()) {
    threads_internal::BlockingRegion region(
        threads_internal::WakeupByNotifying(&condition));
    WaitAdapter<Condition>::Wait(condition, lock);
    region.Leave();
  }
}

// As condition.wait_until(lock, until, predicate).
template <typename Condition, typename Lock, typename Predicate>
bool WaitUntil(Condition& condition, Lock& lock,
               std::chrono::steady_clock::time_point until,
               Predicate predicate) {
  while (!predicate()) {
    threads_internal::BlockingRegion region(
        threads_internal::WakeupByNotifying(&condition));
    const bool in_time =
        WaitAdapter<Condition>::WaitUntil(condition, lock, until);
    region.Leave();
    if (!in_time) return predicate();
  }
  return true;
}

template <typename Condition, typename Lock, typename Predicate>
bool WaitFor(Condition& condition, Lock& lock, std::chrono::nanoseconds limit,
             Predicate predicate) {
  return WaitUntil(condition, lock, DeadlineAfter(limit), std::move(predicate));
}

// Waits until a std::future, a std::shared_future or what else has a
// WaitAdapter (absl::Notification) is ready. False when the time is up. One
// whose function has been deferred runs it here, outside of the region.
template <typename T>
bool AwaitReadyUntil(const T& awaited,
                     std::chrono::steady_clock::time_point until) {
  using Clock = std::chrono::steady_clock;
  constexpr Clock::duration kAtOnce = std::chrono::milliseconds(100);
  if (WaitAdapter<T>::WaitFor(awaited, Clock::duration::zero())) return true;
  while (true) {
    const Clock::duration left = until - Clock::now();
    if (left <= Clock::duration::zero()) return false;
    threads_internal::BlockingRegion region(threads_internal::WakeupByItself());
    const bool ready =
        WaitAdapter<T>::WaitFor(awaited, left < kAtOnce ? left : kAtOnce);
    region.Leave();
    if (ready) return true;
  }
}

template <typename T>
bool AwaitReadyFor(const T& awaited, std::chrono::nanoseconds limit) {
  return AwaitReadyUntil(awaited, DeadlineAfter(limit));
}

template <typename T>
void AwaitReady(const T& awaited) {
  while (!AwaitReadyFor(awaited, std::chrono::hours(1))) {
  }
}

// As std::this_thread::sleep_until() and sleep_for().
void SleepUntil(std::chrono::steady_clock::time_point until);
void SleepFor(std::chrono::nanoseconds duration);

}  // namespace instar

#endif  // INSTAR_THREADS_BLOCKING_REGION_H_
