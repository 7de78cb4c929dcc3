// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What every update keeps of the Prepare(), Apply() or Undo() that goes on: one
// thread works on it, others look and cancel. For whoever writes a schedule.
//
//   INSTAR_RETURN_IF_ERROR(run.Begin(UpdatePhase::kPrepared));
//   const absl::Status status = run.Repeat(
//       Direction::kApply, options, [&] { return change.Apply(); });
//   run.End(status.ok() ? UpdatePhase::kApplied : UpdatePhase::kPrepared);
//
// One change after the other, and back if one fails:
//
//   const absl::Status status = run.RunSteps(
//       Direction::kApply, options, changes.size(),
//       [&](Direction to, std::size_t i) {
//         return to == Direction::kApply ? changes[i].Apply()
//                                        : changes[i].Undo();
//       });

#ifndef INSTAR_UPDATES_UPDATE_RUN_H_
#define INSTAR_UPDATES_UPDATE_RUN_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "threads/attempt.h"
#include "updates/mechanisms/direction.h"
#include "updates/update.h"

namespace instar {

// Of how long each thread was held.
HoldTimes HoldTimesOf(std::vector<std::chrono::nanoseconds> held);

class UpdateRun {
 public:
  using Clock = std::chrono::steady_clock;
  // What is done is given this long at least to be taken back.
  static constexpr std::chrono::seconds kLeastTimeToTakeBack{10};

  explicit UpdateRun(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }

  // --- Of the thread that works on it.

  // FailedPrecondition if the update is applied and that is not `required`, or
  // is not applied and that is; or if it is broken. A check fails if another
  // thread works on it.
  absl::Status Begin(UpdatePhase required);
  void Enter(UpdatePhase phase);
  void CountAttempts(int more);
  // Until then, or until it is cancelled and that ends it.
  void WaitUntil(Clock::time_point until, bool can_be_cancelled = true);
  Clock::time_point begin() const { return begin_; }
  void End(UpdatePhase phase);

  // Tries until it is done, has failed, is cancelled, or the time of the
  // options is up, with pauses of some milliseconds. Why it is not yet is in
  // Progress().
  absl::Status Repeat(Direction direction, const ApplyOptions& options,
                      absl::FunctionRef<Attempt()> attempt);

  // All of an Apply() or Undo() whose `count` steps, from 0 on, take effect one
  // after the other: begins, repeats an attempt at each, and ends. To undo, the
  // last one is first. If one fails, is cancelled or the time is up, those
  // before it are taken back, which Cancel() does not end, and which has
  // kLeastTimeToTakeBack at least. DataLoss if that fails, or if a step says
  // so: the update is broken.
  absl::Status RunSteps(
      Direction direction, const ApplyOptions& options, std::size_t count,
      absl::FunctionRef<Attempt(Direction, std::size_t step)> attempt);

  // What is in the way at the moment, and since when; in Progress().
  void SetBlockers(std::vector<Blocker> blockers);

  // DeadlineExceeded: "update 'ratings' was not applied in 30000 ms (12
  // attempts): <what was in its way>".
  absl::Status TimeIsUp(Direction direction,
                        const UpdateProgress& progress) const;

  // --- Of any thread.

  // No effect while nobody works on it.
  void Cancel();
  bool is_cancelled() const {
    return cancelled_.load(std::memory_order_relaxed);
  }
  UpdatePhase phase() const { return phase_.load(std::memory_order_relaxed); }
  // The phase, attempts, time and blockers of it.
  UpdateProgress Progress() const;

 private:
  absl::Status RepeatUntil(Direction direction, Clock::time_point until,
                           bool can_be_cancelled,
                           absl::FunctionRef<Attempt()> attempt);

  const std::string name_;

  // Relaxed: nothing else is published by them. Not guarded: the phase changes
  // while threads are held, which may own any lock.
  std::atomic<UpdatePhase> phase_{UpdatePhase::kNew};
  std::atomic<bool> cancelled_{false};

  mutable std::mutex lock_;
  std::condition_variable woken_;
  bool is_running_ = false;
  int attempts_ = 0;
  Clock::time_point begin_;  // changed by who works on it, under the lock
  Clock::time_point end_;
  std::vector<Blocker> blockers_;
  // Since when each of them has been there, by what it is.
  std::map<std::string, Clock::time_point> since_;
};

}  // namespace instar

#endif  // INSTAR_UPDATES_UPDATE_RUN_H_
