// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An update function for a controlled thread. It runs in that thread, at an
// update point, in a continulet of its own, while the thread's own computation
// is paused (PyMoult (HotSWUP'13), section 2.1).
//
//   UpdateRequest request =
//       SetUpdateFunction(thread, [](UpdateContext& context) {
//         Activity activity = FindActivity(context.stack(), functions);
//         if (!activity.quiescent()) {
//           return Attempt::NotYet(activity.ToString());
//         }
//         return Attempt::Done();                  // after changing something
//       });
//   request.Trigger();
//   absl::Status done = request.Await(std::chrono::seconds(5));
//
//   // The thread's function is ended and another one started:
//   UpdateOptions options;
//   options.interrupt_blocking_calls = true;
//   SetUpdateFunction(
//       thread,
//       [](UpdateContext& context) {
//         return context.Reboot([] { NewMain(); });
//       },
//       options)
//       .Trigger();
//
// A thread may have several; they are tried in the order in which they were
// set. Not yet is tried again at a later update point: after 0.1 ms at the
// earliest, twice as long each time up to 4 ms, and never before 25 times what
// the last attempt took has passed, so that the thread, and others that enter
// intercepted functions, lose no more than a few percent. (After the first, 50
// ms at most: what it had to read, such as symbols, the next finds read.)
// Meanwhile function entries are as if there were no update.
//
// Reboot: an exception that only the thread's base catches unwinds its stack
// from the update point: out of UpdatePoint(), out of the entry of an updatable
// function, or out of a blocking region. It is not derived from std::exception.
// A `catch (...)` that swallows it only delays it: it is thrown again at the
// next update point. Reboot() answers "not yet" if the stack cannot be unwound
// from there (//stack:unwind_safety), a paused continulet of the thread's
// included, and names the frame.
//
// Errors: an exception that leaves an update function, and a thread that ends
// before it was updated, are failures of the update. So is, with
// RESOURCE_EXHAUSTED, that the system gives no thread to attend to it.
//
// Threads: an UpdateRequest may be used from any thread, several at once. The
// update function is destroyed on whichever thread drops it last. It must
// not Await() a request of its own thread. Memory ordering: what happened
// before Trigger() happens before the update function runs; what it did happens
// before Await() returns.
//
// Limits: update functions run on a stack of 256 KiB. While an active thread
// does not enter any updatable function, and no name of a point was asked for,
// entries stay intercepted until it does: other threads, active or not, then
// pay about 10 ns a call.

#ifndef INSTAR_THREADS_UPDATE_REQUEST_H_
#define INSTAR_THREADS_UPDATE_REQUEST_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "stack/stack_snapshot.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"

namespace instar {

struct RebootOptions {
  // Unwind the stack also through frames of C (qsort(), an event loop of a C
  // library), which release nothing: a lock that one owns stays taken, what it
  // was changing half changed. Only for those of which you know that they own
  // nothing where they call back.
  bool through_c = false;
};

// What an update function is told. Valid while it runs.
class UpdateContext {
 public:
  UpdateContext(const UpdateContext&) = delete;
  UpdateContext& operator=(const UpdateContext&) = delete;

  const ThreadRef& thread() const { return thread_; }
  // The name of the update point; empty if it has none, as entries have.
  absl::string_view point() const { return point_; }
  // The thread's own computation, paused. A walk goes on through all
  // continulets that it runs in to the base of the thread. A function that was
  // about to be entered is not on it.
  const StackSnapshot& stack() const { return stack_; }
  // The thread's continulets that are paused, and all paused fibers that were
  // declared (continuation/foreign_stacks.h).
  const std::vector<StackSnapshot>& paused_continulets() const {
    return paused_continulets_;
  }

  // When the update function has returned Done, the thread's own stack is
  // unwound, and `new_main` runs in its place, on the same thread. Returns
  // Done, or "not yet" if the stack cannot be unwound from here; then nothing
  // will happen.
  Attempt Reboot(absl::AnyInvocable<void()> new_main,
                 RebootOptions options = {});

 private:
  friend class UpdateRunner;
  UpdateContext(ThreadRef thread, absl::string_view point,
                const StackSnapshot& stack, PointAllows allows);

  ThreadRef thread_;
  absl::string_view point_;
  const StackSnapshot& stack_;
  const PointAllows allows_;
  std::vector<StackSnapshot> paused_continulets_;
  std::size_t own_continulets_ = 0;  // of these, the first
  absl::AnyInvocable<void()> new_main_;
  bool through_c_ = false;
};

using UpdateFunction = absl::AnyInvocable<Attempt(UpdateContext&)>;

struct UpdateOptions {
  // Only at update points of this name; empty: at any, entries of updatable
  // functions included if the thread is active.
  std::string point;
  // Gets the thread out of a blocking region, and runs the update function when
  // the call has returned: a reboot needs that. If the thread is not rebooted
  // then, the region waits again (threads/blocking_region.h).
  bool interrupt_blocking_calls = false;
};

// A handle; copies are the same request. The request lives on without it.
class UpdateRequest {
 public:
  // From now on the update function is tried. Without effect the second time.
  void Trigger();

  // Waits until the update is done, at most `limit`. OK if it is; the error if
  // it failed; CANCELLED; DEADLINE_EXCEEDED with the latest reason, and the
  // request stays.
  absl::Status Await(std::chrono::nanoseconds limit) const;

  // Takes the request back. True if it is not going to take effect; false if
  // that has happened, or is happening.
  bool Cancel();

  bool is_finished() const;
  // How often it was tried, and why it was not done the last time.
  int attempts() const;
  std::string reason() const;

  // For this package.
  explicit UpdateRequest(
      std::shared_ptr<threads_internal::PendingRequest> request)
      : request_(std::move(request)) {}

 private:
  std::shared_ptr<threads_internal::PendingRequest> request_;
};

// Gives the thread an update function, to be triggered.
UpdateRequest SetUpdateFunction(const ThreadRef& thread,
                                UpdateFunction function,
                                UpdateOptions options = {});

}  // namespace instar

#endif  // INSTAR_THREADS_UPDATE_REQUEST_H_
