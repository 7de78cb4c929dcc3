// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What one thread has been asked by a ThreadSchedule, and words that its files
// share. Internal to this package.

#ifndef INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_PENDING_H_
#define INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_PENDING_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "threads/update_request.h"
#include "updates/internal/thread_schedule.h"
#include "updates/quiescence/blocker.h"

namespace instar {
namespace updates_internal {

// One thread's update function.
struct ThreadSchedule::Pending {
  Part* part;
  ThreadRef thread;
  UpdateRequest request;
  // How long the latest call took. Relaxed: the request's end orders it.
  std::shared_ptr<std::atomic<std::chrono::nanoseconds::rep>> held;

  Clock::time_point since;

  static Pending Set(Part& part, const ThreadRef& thread,
                     const std::shared_ptr<Shared>& shared);

  absl::Status result() const {
    return request.Await(std::chrono::nanoseconds(0));
  }
  bool is_done() const { return request.is_finished() && result().ok(); }

  // What it waits for. May look at the thread's stack.
  Blocker ToBlocker() const;
};

// The error, or the blockers, of what is called `what`.
absl::Status In(const std::string& what, const absl::Status& status);
// Of a change that is not yet; `attempt` says all that there is if there are no
// blockers.
std::vector<Blocker> In(const std::string& what, std::vector<Blocker> blockers,
                        const Attempt& attempt);

inline constexpr char kWaitsInRegion[] = ": it waits in a blocking region";
inline constexpr char kGetItOut[] =
    "wait until its call returns, or set the update function with "
    "interrupt_blocking_calls";

inline bool Contains(const std::vector<ThreadRef>& threads,
                     const ThreadRef& thread) {
  return std::find(threads.begin(), threads.end(), thread) != threads.end();
}

inline bool HasEnded(const ThreadRef& thread) {
  return thread.state() == ThreadState::kEnded;
}

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_PENDING_H_
