// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is behind an UpdateRequest. Internal to this package.
//
//   phase     | Trigger() | the thread comes | Cancel()  | the thread ends
//   ----------+-----------+------------------+-----------+----------------
//   set       | pending   | -                | finished  | finished
//   pending   | -         | trying           | finished  | finished
//   trying    | -         | -                | -         | -
//   rebooting | -         | -                | -         | -
//   finished  | -         | -                | -         | -
//
// Trying ends in pending (not yet), rebooting, or finished; rebooting in
// finished, when the base is reached.

#ifndef INSTAR_THREADS_INTERNAL_PENDING_REQUEST_H_
#define INSTAR_THREADS_INTERNAL_PENDING_REQUEST_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "stack/stack_snapshot.h"
#include "stack/unwind_safety.h"
#include "threads/internal/thread_record.h"
#include "threads/update_request.h"

namespace instar {
namespace threads_internal {

struct PendingRequest {
  enum class Phase { kSet, kPending, kTrying, kRebooting, kFinished };
  using Clock = std::chrono::steady_clock;

  PendingRequest(std::shared_ptr<ThreadRecord> request_thread,
                 UpdateFunction request_function, UpdateOptions request_options)
      : thread(std::move(request_thread)),
        options(std::move(request_options)),
        function(std::move(request_function)) {}

  // Whether an entry of an updatable function is a point for it.
  bool AcceptsEntries() const {
    return thread->kind == ThreadKind::kActive && options.point.empty();
  }

  // From any phase but finished.
  void Finish(absl::Status with);
  void FinishLocked(absl::Status with);

  const std::shared_ptr<ThreadRecord> thread;
  const UpdateOptions options;
  UpdateFunction function;  // of whoever is in phase trying

  std::mutex lock;
  std::condition_variable finished;
  Phase phase = Phase::kSet;
  Clock::time_point due;  // when pending: not before
  std::chrono::nanoseconds backoff{0};
  int attempts = 0;
  std::uint64_t tried_at = 0;  // ThreadRecord::arrivals at the latest
  std::string reason;
  absl::Status result;
};

// Links all computations that switched to the one in which the caller runs
// (stack/stack_snapshot.h). The result must live as long as `first` is used.
std::vector<StackSnapshot> LinkAllSwitchers(StackSnapshot* first);

// Where a thread has come to.
struct Point {
  enum class Kind { kExplicit, kEntry, kLoop, kAfterBlocking };
  Kind kind;
  absl::string_view name;
  // Of the computation that is paused there; its switchers are not linked yet.
  StackSnapshot stack;
  std::uintptr_t function = 0;  // that is about to begin, of kEntry
  PointAllows allows = PointAllows::kReboot;
};

// The calling thread has come to an update point and something is asked of it.
// Holds it, runs update functions; throws if the thread is rebooted.
void ArriveAt(Point point);

// With record.lock held: sets the attention for updates as the requests are.
void UpdateAttention(ThreadRecord& record);

// Drops the thread's finished requests.
void ForgetFinished(ThreadRecord& record);

// Whether an exception thrown at this stack reaches the thread's base, through
// the continulets that it runs in, and through frames of C only if `through_c`.
// With their frames' memory unchanging.
UnwindSafety CheckUnwindToBase(const StackSnapshot& stack,
                               std::uintptr_t base_frame, bool through_c);
// The same to the base of a paused continulet.
UnwindSafety CheckCancellation(const StackSnapshot& paused, bool through_c);

// What Reboot() throws. Only the base of the thread catches it. A future or a
// coroutine's promise may keep it and throw it again somewhere else: so it
// knows of which thread it is.
class ThreadRebooted final {
 public:
  // The thread, which is the calling one. Whether it is under way there still.
  bool IsUnderWayIn(const ThreadRecord& record) const {
    return &record == thread_.get() && record.new_main != nullptr;
  }
  const std::string& thread_name() const { return thread_->name; }

 private:
  friend class RebootThrower;
  explicit ThreadRebooted(std::shared_ptr<const ThreadRecord> thread)
      : thread_(std::move(thread)) {}

  std::shared_ptr<const ThreadRecord> thread_;
};

// The base has caught a reboot, or the function returned under one: what runs
// next, or null.
absl::AnyInvocable<void()> TakeNewMain(ThreadRecord& record);

// The thread ends: a reboot that has not reached its base never will.
void GiveUpReboot(ThreadRecord& record);

// The thread ends: its requests are finished.
void FinishRequests(ThreadRecord& record);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_PENDING_REQUEST_H_
