// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/thread_schedule.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "threads/known_names.h"
#include "threads/thread_state.h"
#include "updates/internal/author_calls.h"
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
    : run_(std::move(name)),
      stages_(stages),
      requirements_(std::move(requirements)),
      parts_(std::move(parts)) {}

ThreadSchedule::~ThreadSchedule() = default;

absl::Status ThreadSchedule::StartWatch(Clock::time_point until) {
  auto watch = std::make_shared<AuthorWatch>(
      until, [this] { return run_.is_cancelled(); });
  INSTAR_RETURN_IF_ERROR(watch->Start());
  std::lock_guard<std::mutex> lock(lock_);
  watch_ = std::move(watch);
  return absl::OkStatus();
}

void ThreadSchedule::EndWatch() {
  std::shared_ptr<AuthorWatch> watch;  // ends when the lock is free
  std::lock_guard<std::mutex> lock(lock_);
  watch = std::move(watch_);
}

absl::Status ThreadSchedule::Call(
    const std::string& what, absl::FunctionRef<absl::Status()> function) const {
  return watch_ == nullptr ? CallAuthor(function)
                           : watch_->Call(what, function);
}

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
    if (part.change == nullptr) continue;
    const absl::Status status = Call(
        "the preparation", [&] { return part.change->Prepare(&forecast); });
    if (!status.ok()) return In(part.name(), status);
  }
  return absl::OkStatus();
}

Attempt ThreadSchedule::Requirements() {
  std::vector<std::string> obstacles;
  for (const auto& requirement : requirements_) {
    Attempt attempt = Attempt::Done();
    absl::Status status = Call("a requirement", [&] {
      attempt = TryAuthor(requirement);
      return absl::OkStatus();
    });
    if (!status.ok()) return Attempt::Failed(std::move(status));  // given up
    if (attempt.is_failed()) {
      return Attempt::Failed(absl::FailedPreconditionError(attempt.reason()));
    }
    if (attempt.is_not_yet()) obstacles.push_back(attempt.reason());
  }
  return obstacles.empty() ? Attempt::Done()
                           : Attempt::NotYet(absl::StrJoin(obstacles, "; "));
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

std::shared_ptr<ThreadSchedule::Asked> ThreadSchedule::AskOnly(
    const ApplyOptions& options) {
  std::shared_ptr<Asked> asked;
  if (options.threads != nullptr) {
    asked = std::make_shared<Asked>(options.threads);
  }
  for (const Part& part : parts_) {
    if (part.change == nullptr) continue;
    if (asked == nullptr) {
      part.change->AskOnly(nullptr);
    } else {
      asked->AddStarted(part.change->StartedThreads());
      part.change->AskOnly([asked] { return asked->All(); });
    }
  }
  return asked;
}

// --- Prepare(), Apply() and Undo().

absl::StatusOr<UpdateForecast> ThreadSchedule::Prepare() {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  UpdateForecast forecast;
  absl::Status status = PrepareParts(forecast);
  if (status.ok()) {
    const Attempt requirements = Requirements();
    status = requirements.status();
    if (requirements.is_not_yet()) {
      forecast.obstacles.push_back(requirements.reason());
    }
  }
  for (const Part& part : parts_) {
    if (part.is_started_here()) continue;
    if (ControlledThreads(part.thread_name).empty()) {
      forecast.obstacles.push_back(absl::StrCat(
          "there is no controlled thread '", part.thread_name, "'"));
    }
    if (part.undo == nullptr) {
      forecast.remarks.push_back(absl::StrCat(part.name(), " has no undo"));
    }
  }
  if (status.ok()) {
    forecast.can_undo = AskCanUndo();
    forecast.lost_by_undo = LostByUndo();
  }
  run_.End(status.ok() ? UpdatePhase::kPrepared : UpdatePhase::kNew);
  if (!status.ok()) return status;
  return forecast;
}

absl::Status ThreadSchedule::Apply(const ApplyOptions& options) {
  const UpdatePhase before = run_.phase();
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  absl::Status status =
      StartWatch(DeadlineAfter(run_.begin(), options.timeout));
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  if (!status.ok()) {
    run_.End(before);
    return status;
  }
  const std::shared_ptr<Asked> asked = AskOnly(options);
  const absl::Cleanup end_asking = [&] {
    if (asked != nullptr) asked->End();
  };
  UpdateForecast forecast;
  status = PrepareParts(forecast);
  if (!status.ok()) {
    run_.End(UpdatePhase::kNew);
    return status;
  }
  status = Run(Direction::kApply, options, asked);
  if (status.ok() && options.remarks != nullptr) {
    std::move(forecast.warnings.begin(), forecast.warnings.end(),
              std::back_inserter(*options.remarks));
  }
  run_.End(status.ok()  ? UpdatePhase::kApplied
           : IsBroken() ? UpdatePhase::kBroken
                        : UpdatePhase::kPrepared);
  return status;
}

absl::Status ThreadSchedule::CanUndo() const {
  if (run_.phase() != UpdatePhase::kApplied) {
    return absl::FailedPreconditionError(
        absl::StrCat("update '", name(), "' is not applied"));
  }
  const absl::Status status = AskCanUndo();
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("update '", name(),
                                   "' cannot be undone: ", status.message()));
}

absl::Status ThreadSchedule::AskCanUndo() const {
  for (const Part& part : parts_) {
    std::string why_not;
    if (part.change != nullptr) {
      const absl::Status status = part.change->CanUndo();
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

absl::Status ThreadSchedule::Undo(const ApplyOptions& options) {
  INSTAR_RETURN_IF_ERROR(CanUndo());
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kApplied));
  absl::Status status =
      StartWatch(DeadlineAfter(run_.begin(), options.timeout));
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  const std::shared_ptr<Asked> asked = AskOnly(options);
  const absl::Cleanup end_asking = [&] {
    if (asked != nullptr) asked->End();
  };
  if (status.ok()) status = Run(Direction::kUndo, options, asked);
  run_.End(status.ok()  ? UpdatePhase::kPrepared
           : IsBroken() ? UpdatePhase::kBroken
                        : UpdatePhase::kApplied);
  return status;
}

// --- A rehearsal.

absl::StatusOr<std::vector<Blocker>> ThreadSchedule::Rehearse(
    const ApplyOptions& options) {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  const std::shared_ptr<Asked> asked = AskOnly(options);
  const absl::Cleanup end_asking = [&] {
    if (asked != nullptr) asked->End();
  };
  UpdateForecast forecast;
  absl::Status status = PrepareParts(forecast);
  if (!status.ok()) {
    run_.End(UpdatePhase::kNew);
    return status;
  }
  const absl::Cleanup end = [this] { run_.End(UpdatePhase::kPrepared); };
  INSTAR_RETURN_IF_ERROR(StartWatch(DeadlineAfter(kRehearsedCode)));
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  std::vector<Blocker> blockers;
  const Attempt requirements = Requirements();
  if (requirements.is_failed()) return requirements.status();
  if (requirements.is_not_yet()) {
    blockers.emplace_back().reason = requirements.reason();
    return blockers;
  }
  const Way way{Direction::kApply, Clock::time_point::max(), asked, false, {}};
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
  return blockers;
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
  run_.SetBlockers(std::move(blockers));
}

absl::Status ThreadSchedule::Begin(UpdatePhase required) {
  INSTAR_RETURN_IF_ERROR(run_.Begin(required));
  run_.Enter(UpdatePhase::kWaiting);
  has_begun_.store(false, std::memory_order_relaxed);
  SetObstacles({});
  return absl::OkStatus();
}

UpdateProgress ThreadSchedule::Progress() const {
  UpdateProgress progress = run_.Progress();
  for (const Part& part : parts_) {
    if (part.change == nullptr) continue;
    const Change::Objects objects = part.change->objects();
    progress.objects_converted += objects.converted;
    progress.objects_total += objects.total;
    progress.is_converting |= objects.is_converting;
  }
  std::vector<Pending> pending;
  std::shared_ptr<AuthorWatch> watch;
  {
    std::lock_guard<std::mutex> lock(lock_);
    watch = watch_;
    pending = pending_;
  }
  // Without the lock: a thread's stack is looked at.
  for (const Pending& p : pending) {
    progress.attempts += p.request.attempts();
    if (p.request.is_finished()) continue;
    progress.blockers.push_back(p.ToBlocker());
  }
  const std::string running = watch == nullptr ? "" : watch->running();
  if (running.empty()) return progress;
  progress.phase = UpdatePhase::kBroken;
  progress.is_unchanged = !has_begun_.load(std::memory_order_relaxed);
  progress.blockers.clear();
  progress.blockers.emplace_back().reason = absl::StrCat(
      running, "; ",
      progress.is_unchanged ? "nothing was changed"
                            : "the state of the program is unknown");
  return progress;
}

HoldTimes ThreadSchedule::hold_times() const {
  std::lock_guard<std::mutex> lock(lock_);
  return hold_times_;
}

}  // namespace updates_internal
}  // namespace instar
