// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/update_run.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "updates/quiescence/internal/pacing.h"

namespace instar {
namespace {

std::string Milliseconds(std::chrono::nanoseconds duration) {
  return absl::StrCat(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count(),
      " ms");
}

}  // namespace

HoldTimes HoldTimesOf(std::vector<std::chrono::nanoseconds> held) {
  HoldTimes times;
  if (held.empty()) return times;
  std::sort(held.begin(), held.end());
  times.threads = static_cast<int>(held.size());
  times.median = held[held.size() / 2];
  times.maximum = held.back();
  return times;
}

absl::Status UpdateRun::Begin(UpdatePhase required) {
  if (phase() == UpdatePhase::kBroken) {
    return absl::FailedPreconditionError(absl::StrCat(
        "update '", name_,
        "' has failed and could not be rolled back: it can neither be applied "
        "nor undone any more"));
  }
  if (phase() == UpdatePhase::kApplied && required != UpdatePhase::kApplied) {
    return absl::FailedPreconditionError(
        absl::StrCat("update '", name_, "' is applied"));
  }
  if (required == UpdatePhase::kApplied && phase() != required) {
    return absl::FailedPreconditionError(
        absl::StrCat("update '", name_, "' is not applied"));
  }
  std::lock_guard<std::mutex> lock(lock_);
  INSTAR_CHECK(!is_running_)
      << "update '" << name_ << "' is used by two threads at once";
  is_running_ = true;
  cancelled_.store(false, std::memory_order_relaxed);
  attempts_ = 0;
  begin_ = Clock::now();
  blockers_.clear();
  since_.clear();
  return absl::OkStatus();
}

void UpdateRun::Enter(UpdatePhase phase) {
  phase_.store(phase, std::memory_order_relaxed);
}

void UpdateRun::CountAttempts(int more) {
  std::lock_guard<std::mutex> lock(lock_);
  attempts_ += more;
}

void UpdateRun::WaitUntil(Clock::time_point until, bool can_be_cancelled) {
  std::unique_lock<std::mutex> lock(lock_);
  woken_.wait_until(lock, until,
                    [&] { return can_be_cancelled && is_cancelled(); });
}

void UpdateRun::End(UpdatePhase phase) {
  Enter(phase);
  std::lock_guard<std::mutex> lock(lock_);
  is_running_ = false;
  end_ = Clock::now();
}

absl::Status UpdateRun::Repeat(Direction direction, const ApplyOptions& options,
                               absl::FunctionRef<Attempt()> attempt) {
  return RepeatUntil(direction, DeadlineAfter(begin_, options.timeout),
                     /*can_be_cancelled=*/true, attempt);
}

absl::Status UpdateRun::RunSteps(
    Direction direction, const ApplyOptions& options, std::size_t count,
    absl::FunctionRef<Attempt(Direction, std::size_t)> attempt) {
  const bool applies = direction == Direction::kApply;
  const Direction back = applies ? Direction::kUndo : Direction::kApply;
  const UpdatePhase before =
      applies ? UpdatePhase::kPrepared : UpdatePhase::kApplied;
  const UpdatePhase after =
      applies ? UpdatePhase::kApplied : UpdatePhase::kPrepared;
  INSTAR_RETURN_IF_ERROR(Begin(before));
  const auto nth = [&](std::size_t i) { return applies ? i : count - 1 - i; };
  std::size_t done = 0;
  absl::Status status;
  for (; done < count; ++done) {
    status = Repeat(direction, options,
                    [&] { return attempt(direction, nth(done)); });
    if (!status.ok()) break;
  }
  if (status.ok()) {
    End(after);
    return absl::OkStatus();
  }
  const Clock::time_point until =
      DeadlineAfter(std::max<std::chrono::nanoseconds>(options.timeout,
                                                       kLeastTimeToTakeBack));
  absl::Status taken_back;
  while (done > 0 && taken_back.ok()) {
    --done;
    taken_back = RepeatUntil(back, until, /*can_be_cancelled=*/false,
                             [&] { return attempt(back, nth(done)); });
  }
  if (taken_back.ok() && !absl::IsDataLoss(status)) {
    End(before);
    return status;
  }
  End(UpdatePhase::kBroken);
  if (taken_back.ok()) return status;
  return absl::DataLossError(absl::StrCat(
      status.message(),
      "; what had been done could not be taken back: ", taken_back.message()));
}

absl::Status UpdateRun::RepeatUntil(Direction direction,
                                    Clock::time_point until,
                                    bool can_be_cancelled,
                                    absl::FunctionRef<Attempt()> attempt) {
  updates_internal::Pauses pauses;
  while (true) {
    if (can_be_cancelled && is_cancelled()) {
      return absl::CancelledError("the update was cancelled");
    }
    Enter(UpdatePhase::kWaiting);
    const Attempt tried = attempt();
    CountAttempts(1);
    if (tried.is_failed()) return tried.status();
    std::vector<Blocker> blockers;
    if (tried.is_not_yet()) blockers.emplace_back().reason = tried.reason();
    SetBlockers(std::move(blockers));
    if (tried.is_done()) return absl::OkStatus();
    if (Clock::now() >= until) return TimeIsUp(direction, Progress());
    WaitUntil(std::min(until, Clock::now() + pauses.Next()), can_be_cancelled);
  }
}

void UpdateRun::SetBlockers(std::vector<Blocker> blockers) {
  const Clock::time_point now = Clock::now();
  std::map<std::string, Clock::time_point> since;
  std::lock_guard<std::mutex> lock(lock_);
  for (Blocker& blocker : blockers) {
    // The frame and the place in a loop may change while the reason does not.
    const std::string key =
        absl::StrCat(blocker.tid, blocker.tid == 0 ? blocker.reason : "");
    const auto known = since_.find(key);
    const Clock::time_point first = known == since_.end() ? now : known->second;
    since[key] = first;
    blocker.since = now - first;
  }
  since_ = std::move(since);
  blockers_ = std::move(blockers);
}

absl::Status UpdateRun::TimeIsUp(Direction direction,
                                 const UpdateProgress& progress) const {
  std::vector<std::string> sentences;
  for (const Blocker& blocker : progress.blockers) {
    sentences.push_back(ToString(blocker));
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "update '", name_, "' was not ",
      direction == Direction::kApply ? "applied" : "undone", " in ",
      Milliseconds(progress.elapsed), " (", progress.attempts,
      " attempts): ", absl::StrJoin(sentences, "; ")));
}

void UpdateRun::Cancel() {
  {
    std::lock_guard<std::mutex> lock(lock_);
    if (!is_running_) return;
    cancelled_.store(true, std::memory_order_relaxed);
  }
  woken_.notify_all();
}

UpdateProgress UpdateRun::Progress() const {
  UpdateProgress progress;
  progress.phase = phase();
  std::lock_guard<std::mutex> lock(lock_);
  progress.attempts = attempts_;
  progress.blockers = blockers_;
  if (begin_ != Clock::time_point()) {
    progress.elapsed = (is_running_ ? Clock::now() : end_) - begin_;
  }
  return progress;
}

}  // namespace instar
