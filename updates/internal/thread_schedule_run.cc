// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The change of a ThreadSchedule: the way through its stages, and back.

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "threads/attempt.h"
#include "updates/internal/thread_schedule.h"
#include "updates/internal/thread_schedule_pending.h"
#include "updates/quiescence/internal/pacing.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// How late a failure of another thread, Cancel(), or the end of the time is
// noticed while one thread is waited for. That it is done is noticed at once.
constexpr nanoseconds kLook = milliseconds(5);
// Update functions that are just running are given as long to return.
constexpr nanoseconds kLeastTimeToTakeBack = UpdateRun::kLeastTimeToTakeBack;

}  // namespace

absl::Status ThreadSchedule::AwaitRequirements(const Way& way) {
  Pauses pauses;
  while (true) {
    const Attempt attempt = Requirements();
    SetObstacles(attempt.is_not_yet()
                     ? std::vector<std::string>{attempt.reason()}
                     : std::vector<std::string>());
    if (!attempt.is_not_yet()) return attempt.status();
    INSTAR_RETURN_IF_ERROR(Pause(way, pauses.Next()));
  }
}

absl::Status ThreadSchedule::Run(Direction direction,
                                 const ApplyOptions& options,
                                 Clock::time_point until) {
  run().Enter(UpdatePhase::kWaiting);
  const auto stage_at = [&](int i) {
    return direction == Direction::kApply ? i : stages_ - 1 - i;
  };
  Way way{direction, until, false, {}};
  held_.clear();
  for (Part& part : parts_) {
    part.changed_in.clear();
    part.is_changed_here = false;
    // What came of an earlier one.
    if (part.change != nullptr) part.change->TakeHolds();
  }
  absl::Status status = absl::OkStatus();
  if (direction == Direction::kApply) status = AwaitRequirements(way);
  int begun = 0;
  while (status.ok() && begun < stages_) {
    calls_.SetEffect(WatchedCalls::Effect::kUnknown);
    status = RunStage(way, stage_at(begun++));
  }
  if (status.ok()) {
    NoteHoldTimes();
    return status;
  }
  const bool applies = direction == Direction::kApply;
  Way back{applies ? Direction::kUndo : Direction::kApply,
           DeadlineAfter(std::max(options.timeout, kLeastTimeToTakeBack)), true,
           std::move(way.failures)};
  while (begun > 0) {
    // Nothing but its own failures, which are kept there.
    static_cast<void>(RunStage(back, stage_at(--begun)));
  }
  if (back.failures.empty()) return status;
  return absl::DataLossError(absl::StrCat(
      status.message(), "; and what had been ", applies ? "done" : "undone",
      " could not be ", applies ? "taken back: " : "put back: ",
      absl::StrJoin(back.failures, "; ")));
}

void ThreadSchedule::NoteHoldTimes() {
  int by_signal = 0;
  for (const Part& part : parts_) {
    if (part.change == nullptr) continue;
    const Change::Holds holds = part.change->TakeHolds();
    held_.insert(held_.end(), holds.times.begin(), holds.times.end());
    by_signal += holds.by_signal;
  }
  std::lock_guard<std::mutex> lock(lock_);
  hold_times_ = HoldTimesOf(held_);
  hold_times_.by_signal = by_signal;
}

absl::Status ThreadSchedule::RunStage(Way& way, int stage) {
  if (way.direction == Direction::kUndo) {
    INSTAR_RETURN_IF_ERROR(RunInThreads(way, stage));
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
      if (part->stage != stage || !part->is_started_here()) continue;
      INSTAR_RETURN_IF_ERROR(RunHere(way, *part));
    }
    return absl::OkStatus();
  }
  for (Part& part : parts_) {
    if (part.stage != stage || !part.is_started_here()) continue;
    INSTAR_RETURN_IF_ERROR(RunHere(way, part));
  }
  return RunInThreads(way, stage);
}

absl::Status ThreadSchedule::RunHere(Way& way, Part& part) {
  const bool applies = way.direction == Direction::kApply;
  if (part.is_started == applies) return absl::OkStatus();
  if (way.takes_back && !part.is_changed_here) return absl::OkStatus();
  Pauses pauses;
  absl::Status status = Guard(way);
  while (status.ok()) {
    Attempt attempt = Attempt::Done();
    status = calls_.Call(
        part.name(),
        [&] {
          attempt = applies ? part.change->Apply() : part.change->Undo();
          return absl::OkStatus();
        },
        kLeastTimeToTakeBack);
    run().CountAttempts(1);
    if (attempt.is_done()) {
      SetObstacles({});
      part.is_started = applies;
      part.is_changed_here = !way.takes_back;
      if (asked_ != nullptr) {
        asked_->AddStarted(part.change->StartedThreads());
      }
      // If it was given up it is taken back.
      return way.takes_back ? absl::OkStatus() : status;
    }
    if (attempt.is_failed()) {
      status = In(part.name(), attempt.status());
    } else {
      run().SetBlockers(In(part.what, part.change->Blockers(), attempt));
      status = Pause(way, pauses.Next());
    }
  }
  SetObstacles({});
  if (!way.takes_back) return status;
  way.failures.emplace_back(status.message());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ThreadRef>> ThreadSchedule::ThreadsOf(
    const Way& way, const Part& part) const {
  std::vector<ThreadRef> all;
  if (asked_ == nullptr) {
    all = ControlledThreads();
  } else {
    INSTAR_RETURN_IF_ERROR(
        calls_.Call("what says which threads there are", [&] {
          all = asked_->All();
          return absl::OkStatus();
        }));
  }
  std::vector<ThreadRef> named;
  for (ThreadRef& thread : all) {
    if (thread.name() == part.thread_name && !HasEnded(thread)) {
      named.push_back(std::move(thread));
    }
  }
  const bool applies = way.direction == Direction::kApply;
  if (applies && !way.takes_back) return named;
  std::vector<ThreadRef> left;
  for (const ThreadRef& thread :
       way.takes_back ? part.changed_in : part.done_in) {
    if (!HasEnded(thread)) left.push_back(thread);
  }
  return left.empty() ? named : left;
}

absl::StatusOr<std::vector<ThreadSchedule::Pending>>
ThreadSchedule::FindThreads(Way& way, int stage) {
  const bool applies = way.direction == Direction::kApply;
  std::vector<Part*> parts;
  for (Part& part : parts_) {
    if (part.stage != stage || part.is_started_here()) continue;
    if (way.takes_back ? part.changed_in.empty()
                       : !applies && part.done_in.empty()) {
      continue;
    }
    if (!applies && part.undo == nullptr) {
      way.failures.push_back(
          absl::StrCat(part.name(), " stays in effect: it has no undo"));
      continue;
    }
    parts.push_back(&part);
  }
  if (!applies) std::reverse(parts.begin(), parts.end());
  absl::Status status;
  for (bool is_first = true;; is_first = false) {
    std::vector<std::pair<Part*, ThreadRef>> found;
    std::vector<std::string> obstacles;
    for (Part* const part : parts) {
      const absl::StatusOr<std::vector<ThreadRef>> threads =
          ThreadsOf(way, *part);
      if (!threads.ok()) {
        if (way.takes_back)
          way.failures.emplace_back(threads.status().message());
        return threads.status();
      }
      if (threads->empty()) {
        obstacles.push_back(
            absl::StrCat(part->name(), ": there is no controlled thread '",
                         part->thread_name, "'",
                         ControlledThreads(part->thread_name).empty()
                             ? ""
                             : " that is registered with the manager"));
      }
      for (const ThreadRef& thread : *threads) {
        if (applies && Contains(part->done_in, thread)) continue;
        found.emplace_back(part, thread);
      }
    }
    const bool complete = obstacles.empty();
    if (!complete) SetObstacles(obstacles);
    // The first time, too, it is said what is in the way.
    if (is_first) status = Guard(way);
    if (!status.ok() && !way.takes_back) return status;
    if (complete || !status.ok()) {
      for (std::string& obstacle : obstacles) {
        way.failures.push_back(std::move(obstacle));
      }
      SetObstacles({});
      std::vector<Pending> pending;
      for (auto& [part, thread] : found) {
        pending.push_back(
            Pending::Set(*part, thread, applies ? part->function : part->undo));
      }
      return pending;
    }
    status = Pause(way, Pauses::kLast);
  }
}

absl::Status ThreadSchedule::RunInThreads(Way& way, int stage) {
  INSTAR_ASSIGN_OR_RETURN(std::vector<Pending> found, FindThreads(way, stage));
  {
    std::lock_guard<std::mutex> lock(lock_);
    pending_ = std::move(found);
  }
  for (Pending& pending : pending_) pending.request.Trigger();
  absl::Status status = AwaitAll(way);
  const Clock::time_point until = Clock::now() + kLeastTimeToTakeBack;
  for (Pending& pending : pending_) {
    while (!pending.request.Cancel() && !pending.request.is_finished() &&
           Clock::now() < until) {
      // It is just being called, or the thread unwinds its stack.
      static_cast<void>(pending.request.Await(kLook));
    }
  }
  const bool all_done =
      std::all_of(pending_.begin(), pending_.end(),
                  [](const Pending& pending) { return pending.is_done(); });
  if (all_done && absl::IsDeadlineExceeded(status)) status = absl::OkStatus();
  ForgetRequests(way);
  return way.takes_back ? absl::OkStatus() : status;
}

absl::Status ThreadSchedule::AwaitAll(const Way& way) {
  const auto failure = [this] {
    for (const Pending& pending : pending_) {
      if (!pending.request.is_finished()) continue;
      const absl::Status result = pending.result();
      if (!result.ok()) return In(pending.part->name(), result);
    }
    return absl::OkStatus();
  };
  for (const Pending& pending : pending_) {
    while (!pending.request.is_finished()) {
      static_cast<void>(pending.request.Await(kLook));
      if (pending.request.is_finished()) break;
      if (!way.takes_back) INSTAR_RETURN_IF_ERROR(failure());
      INSTAR_RETURN_IF_ERROR(Guard(way));
    }
  }
  return way.takes_back ? absl::OkStatus() : failure();
}

void ThreadSchedule::ForgetRequests(Way& way) {
  const bool applies = way.direction == Direction::kApply;
  std::vector<Pending> pending;
  {
    std::lock_guard<std::mutex> lock(lock_);
    pending.swap(pending_);
    for (const Pending& p : pending) run().CountAttempts(p.request.attempts());
  }
  for (const Pending& p : pending) {
    if (!p.request.is_finished()) {
      has_unfinished_ = true;
      way.failures.push_back(
          absl::StrCat(p.part->name(),
                       " was being called and has not returned: it may still "
                       "take effect"));
      continue;
    }
    if (!p.is_done()) {
      if (!way.takes_back) continue;
      way.failures.emplace_back(In(p.part->name(), p.result()).message());
      continue;
    }
    held_.emplace_back(p.held->load(std::memory_order_relaxed));
    if (!way.takes_back) p.part->changed_in.push_back(p.thread);
    std::vector<ThreadRef>& done_in = p.part->done_in;
    if (applies) {
      done_in.push_back(p.thread);
      continue;
    }
    // Threads that have ended keep nothing.
    done_in.erase(std::remove_if(done_in.begin(), done_in.end(),
                                 [&](const ThreadRef& thread) {
                                   return thread == p.thread ||
                                          HasEnded(thread);
                                 }),
                  done_in.end());
  }
}

// --- Waiting.

absl::Status ThreadSchedule::Guard(const Way& way) const {
  if (!way.takes_back && run().is_cancelled()) {
    return absl::CancelledError("the update was cancelled");
  }
  if (Clock::now() >= way.until)
    return run().TimeIsUp(way.direction, Progress());
  return absl::OkStatus();
}

absl::Status ThreadSchedule::Pause(const Way& way, nanoseconds duration) {
  run().WaitUntil(std::min(way.until, Clock::now() + duration),
                  /*can_be_cancelled=*/!way.takes_back);
  return Guard(way);
}

}  // namespace updates_internal
}  // namespace instar
