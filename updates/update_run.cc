// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/update_run.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"

namespace instar {
namespace updates_internal {
namespace {

std::string Milliseconds(std::chrono::nanoseconds duration) {
  return absl::StrCat(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count(),
      " ms");
}

std::string Sentence(const Blocker& blocker) {
  std::string text;
  if (!blocker.thread.empty()) {
    text = absl::StrCat("thread '", blocker.thread, "' (", blocker.tid, "): ");
  }
  absl::StrAppend(&text, blocker.reason);
  if (blocker.since.count() > 0) {
    absl::StrAppend(&text, ", for ", Milliseconds(blocker.since));
  }
  if (!blocker.remedy.empty()) {
    absl::StrAppend(&text, " (", blocker.remedy, ")");
  }
  return text;
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
  std::lock_guard<std::mutex> lock(lock_);
  INSTAR_CHECK(!is_running_)
      << "update '" << name_ << "' is used by two threads at once";
  is_running_ = true;
  cancelled_.store(false, std::memory_order_relaxed);
  attempts_ = 0;
  begin_ = Clock::now();
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

absl::Status UpdateRun::TimeIsUp(UpdateDirection direction,
                                 const UpdateProgress& progress) const {
  std::vector<std::string> sentences;
  for (const Blocker& blocker : progress.blockers) {
    sentences.push_back(Sentence(blocker));
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "update '", name_, "' was not ",
      direction == UpdateDirection::kApply ? "applied" : "undone", " in ",
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
  if (begin_ != Clock::time_point()) {
    progress.elapsed = (is_running_ ? Clock::now() : end_) - begin_;
  }
  return progress;
}

}  // namespace updates_internal
}  // namespace instar
