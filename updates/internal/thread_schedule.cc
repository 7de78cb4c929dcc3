// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/thread_schedule.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "threads/known_names.h"
#include "threads/thread_state.h"
#include "updates/internal/rehearsal.h"
#include "updates/internal/thread_schedule_pending.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::nanoseconds;
using threads_internal::CheckThreadName;
using threads_internal::RemarkOnUpdatePoint;

Blocker NoSuchThread(const std::string& name, const std::string& what) {
  Blocker blocker;
  blocker.reason = absl::StrCat("thread '", name, "': ", what,
                                ": there is no controlled thread '", name, "'");
  return blocker;
}

}  // namespace

std::string ThreadSchedule::Part::name() const {
  return is_started_here() ? what
                           : absl::StrCat("thread '", thread_name, "': ", what);
}

ThreadSchedule::ThreadSchedule(
    std::string name, std::vector<Part> parts, int stages,
    std::vector<std::function<Attempt()>> requirements)
    : Schedule(std::move(name), std::move(requirements)),
      stages_(stages),
      parts_(std::move(parts)) {}

ThreadSchedule::~ThreadSchedule() = default;

absl::Status ThreadSchedule::PrepareParts(UpdateForecast& forecast) {
  for (const Part& part : parts_) {
    forecast.steps.push_back(part.name());
    if (!part.is_started_here()) {
      const absl::Status known = CheckThreadName(part.thread_name);
      if (!known.ok()) return In(part.name(), known);
    }
    std::string unknown = part.options.point.empty()
                              ? ""
                              : RemarkOnUpdatePoint(part.options.point);
    if (!unknown.empty()) {
      forecast.remarks.push_back(absl::StrCat(part.name(), ": ", unknown));
    }
    if (!part.is_started_here()) {
      if (ControlledThreads(part.thread_name).empty()) {
        forecast.obstacles.push_back(absl::StrCat(
            "there is no controlled thread '", part.thread_name, "'"));
      }
      if (part.undo == nullptr) {
        forecast.remarks.push_back(absl::StrCat(part.name(), " has no undo"));
      }
    }
    if (part.change == nullptr) continue;
    const absl::Status status = calls_.Call(
        "the preparation", [&] { return part.change->Prepare(&forecast); });
    if (!status.ok()) return In(part.name(), status);
  }
  return absl::OkStatus();
}

// --- Whom it asks.

std::vector<ThreadRef> ThreadSchedule::Asked::All() {
  std::function<std::vector<ThreadRef>()> threads;
  {
    const std::lock_guard<std::mutex> lock(lock_);
    if (threads_ == nullptr) return latest_;
    threads = threads_;
  }
  // Without the lock: it is not ours.
  std::vector<ThreadRef> all = threads();
  const std::lock_guard<std::mutex> lock(lock_);
  for (const ThreadRef& thread : started_) {
    if (!Contains(all, thread)) all.push_back(thread);
  }
  latest_ = all;
  return all;
}

void ThreadSchedule::Asked::AddStarted(const std::vector<ThreadRef>& threads) {
  const std::lock_guard<std::mutex> lock(lock_);
  started_.insert(started_.end(), threads.begin(), threads.end());
}

void ThreadSchedule::Asked::End() {
  const std::lock_guard<std::mutex> lock(lock_);
  threads_ = nullptr;
}

void ThreadSchedule::BeginAsking(const ApplyOptions& options) {
  if (options.threads != nullptr) {
    asked_ = std::make_shared<Asked>(options.threads);
  }
  for (const Part& part : parts_) {
    if (part.change == nullptr) continue;
    if (asked_ == nullptr) {
      part.change->AskOnly(nullptr);
    } else {
      asked_->AddStarted(part.change->StartedThreads());
      part.change->AskOnly([asked = asked_] { return asked->All(); });
    }
  }
}

void ThreadSchedule::EndAsking() {
  if (asked_ != nullptr) asked_->End();
  asked_.reset();
}

absl::Status ThreadSchedule::AskCanUndo() const {
  for (const Part& part : parts_) {
    std::string why_not;
    if (part.change != nullptr) {
      const absl::Status status =
          calls_.Call("what says whether it can be undone",
                      [&] { return part.change->CanUndo(); });
      if (!status.ok() && calls_.gave_up()) return status;
      if (!status.ok()) why_not = absl::StrCat(": ", status.message());
    } else if (part.undo == nullptr) {
      why_not = " has no undo";
    }
    if (why_not.empty()) continue;
    return absl::FailedPreconditionError(absl::StrCat(part.name(), why_not));
  }
  return absl::OkStatus();
}

bool ThreadSchedule::IsBroken() const {
  return has_unfinished_ ||
         std::any_of(parts_.begin(), parts_.end(), [](const Part& part) {
           return part.change != nullptr && part.change->is_broken();
         });
}

std::vector<std::string> ThreadSchedule::LostByUndo() const {
  std::vector<std::string> all;
  for (const Part& part : parts_) {
    if (part.change == nullptr) continue;
    for (const std::string& lost : part.change->LostByUndo()) {
      all.push_back(
          part.is_started_here()
              ? lost
              : absl::StrCat("thread '", part.thread_name, "': ", lost));
    }
  }
  return all;
}

std::vector<ThreadRef> ThreadSchedule::StartedThreads() const {
  std::vector<ThreadRef> started;
  for (const Part& part : parts_) {
    if (part.change == nullptr) continue;
    for (ThreadRef& thread : part.change->StartedThreads()) {
      started.push_back(std::move(thread));
    }
  }
  return started;
}

// --- A rehearsal.

absl::Status ThreadSchedule::Look(const ApplyOptions& options,
                                  const UpdateForecast&,
                                  std::vector<Blocker>& blockers) {
  const Way way{Direction::kApply, Clock::time_point::max(), false, {}};
  for (const Part& part : parts_) {
    if (part.is_started_here()) {
      if (part.is_started || options.without_stacks) continue;
      INSTAR_ASSIGN_OR_RETURN(std::vector<Blocker> found, part.change->Check());
      if (found.empty()) continue;
      found = In(part.what, std::move(found), Attempt::Done());
      std::move(found.begin(), found.end(), std::back_inserter(blockers));
      continue;
    }
    INSTAR_ASSIGN_OR_RETURN(const std::vector<ThreadRef> threads,
                            ThreadsOf(way, part));
    if (threads.empty()) {
      blockers.push_back(NoSuchThread(part.thread_name, part.what));
    }
    if (part.change == nullptr && options.remarks != nullptr) {
      options.remarks->push_back(absl::StrCat(
          part.name(), ": what it waits for itself is known when it is tried"));
    }
    if (options.without_stacks) continue;
    for (const ThreadRef& thread : threads) {
      if (Contains(part.done_in, thread)) continue;
      INSTAR_RETURN_IF_ERROR(CheckInThread(part, thread, options, blockers));
    }
  }
  return absl::OkStatus();
}

absl::Status ThreadSchedule::CheckInThread(const Part& part,
                                           const ThreadRef& thread,
                                           const ApplyOptions& options,
                                           std::vector<Blocker>& blockers) {
  std::vector<Blocker> found;
  if (thread.state() == ThreadState::kBlocked &&
      !part.options.interrupt_blocking_calls) {
    Blocker& blocker = found.emplace_back();
    blocker.thread = thread.name();
    blocker.tid = thread.tid();
    blocker.reason =
        absl::StrCat("it comes to no update point", kWaitsInRegion);
    blocker.remedy = kGetItOut;
  } else if (part.change != nullptr) {
    INSTAR_ASSIGN_OR_RETURN(found,
                            part.change->CheckIn(thread, part.options.point));
  } else {
    // Only whether it comes.
    StopOptions stop;
    stop.limit = std::min<nanoseconds>(options.timeout, kRehearsalLimit);
    stop.threads = std::vector<ThreadRef>{thread};
    stop.point = part.options.point;
    Obstacles obstacles(/*most=*/1);
    StoppedWorld world(std::move(stop));
    world.Stop(obstacles);
    world.Release();
    if (!obstacles.failure().ok()) return obstacles.failure();
    found = obstacles.ToBlockers();
  }
  if (found.empty()) return absl::OkStatus();
  found = In(part.what, std::move(found), Attempt::Done());
  std::move(found.begin(), found.end(), std::back_inserter(blockers));
  return absl::OkStatus();
}

// --- What others see.

void ThreadSchedule::SetObstacles(const std::vector<std::string>& obstacles) {
  std::vector<Blocker> blockers;
  for (const std::string& obstacle : obstacles) {
    blockers.emplace_back().reason = obstacle;
  }
  run().SetBlockers(std::move(blockers));
}

void ThreadSchedule::AddTo(UpdateProgress& progress) const {
  for (const Part& part : parts_) {
    if (part.change == nullptr) continue;
    const Change::Objects objects = part.change->objects();
    progress.objects_converted += objects.converted;
    progress.objects_total += objects.total;
    progress.is_converting |= objects.is_converting;
  }
  std::vector<Pending> pending;
  {
    std::lock_guard<std::mutex> lock(lock_);
    pending = pending_;
  }
  // Without the lock: a thread's stack is looked at.
  for (const Pending& p : pending) {
    progress.attempts += p.request.attempts();
    if (p.request.is_finished()) continue;
    progress.blockers.push_back(p.ToBlocker());
  }
}

HoldTimes ThreadSchedule::hold_times() const {
  std::lock_guard<std::mutex> lock(lock_);
  return hold_times_;
}

}  // namespace updates_internal
}  // namespace instar
