// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the copies of a Change share: its attempts, one after the other, and
// what is known of it. Internal to this package; a part of //updates:change.
//
// Try() is an attempt to apply or undo it, in the states of the table in
// updates/change.h: TryOrForce() paces it, TryOnce() stops threads once, and
// Force() again and again while new calls wait. Check() asks what would be in
// the way.

#ifndef INSTAR_UPDATES_INTERNAL_CHANGE_STATE_H_
#define INSTAR_UPDATES_INTERNAL_CHANGE_STATE_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fork_mutex.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "updates/change.h"
#include "updates/internal/transition.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/quiescence/blocker.h"
#include "updates/quiescence/internal/retries.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {

struct Change::State {
  State(std::shared_ptr<Mechanism> mechanism, ChangeOptions options);

  // Whoever waits for it counts as stopped: others may be about to stop it.
  std::unique_lock<ForkMutex> Lock();

  // --- With the lock.

  absl::Status PrepareLocked(bool again, UpdateForecast& forecast);

  // --- Without it: they take it.

  // `context`: of the update function that calls; null: called from anywhere
  // else.
  Attempt Try(Direction direction, UpdateContext* context);
  // `in`: as an update function of this thread, at points of this name; null:
  // by the calling thread.
  absl::StatusOr<std::vector<Blocker>> Check(const ThreadRef* in,
                                             std::string point);

  // --- What these are made of. With the lock.

  // Whose stacks are looked at.
  Stacks StacksOf(bool in_update_function) const;
  Stacks StacksOf(UpdateContext* context) const {
    return StacksOf(/*in_update_function=*/context != nullptr);
  }
  // Given to a thread as its update function, it is that thread's own.
  bool IsOfThread(UpdateContext* context) const {
    return context != nullptr && !traits.thread.empty();
  }
  absl::Status CheckThread(UpdateContext* context) const;
  // Whether it is known what is in effect.
  absl::Status CheckKnown();
  // Whether those that may be asked are enough for the options.
  absl::Status CheckAsked();
  // Those that kControlledThreads are; nothing: all. Adds to `left_out` those
  // of the options that may not be asked.
  std::optional<std::vector<ThreadRef>> Asked(std::vector<ThreadRef>& left_out);
  // Over what the author wrote, from the first attempt on until one is through.
  absl::Status StartWatch(UpdateContext* context);
  Attempt TryOnce(Direction direction, UpdateContext* context,
                  std::optional<std::chrono::nanoseconds> limit);
  Attempt TryOrForce(Direction direction, UpdateContext* context);
  // New calls wait while it is tried again and again, at most for the time that
  // the options give.
  Attempt Force(Direction direction, UpdateContext* context);

  const std::string name;
  const ChangeOptions options;
  const MechanismTraits traits;

  // Held during an attempt. Nothing that is done while threads are stopped
  // takes it.
  ForkMutex lock;
  updates_internal::Transition transition;
  updates_internal::Retries retries;
  bool is_unknown = false;
  absl::Status broken;  // why it can neither be applied nor undone any more
  // Relaxed: whoever asks makes no other use of it.
  std::atomic<bool> is_broken{false};
  bool is_prepared = false;
  bool is_first = true;  // the next attempt, since the latest change
  std::string reason;    // of the latest attempt

  // Of the rest, which others see and set during an attempt.
  ForkMutex shown_lock;
  std::vector<Blocker> blockers;  // of the latest attempt
  std::function<std::vector<ThreadRef>()> ask_only;
  Holds holds;
};

}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_CHANGE_STATE_H_
