// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/plan_schedule.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "threads/known_names.h"
#include "updates/internal/author_calls.h"
#include "updates/internal/rehearsal.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/pacing.h"
#include "updates/quiescence/internal/retries.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// For how long a rendezvous waits for its threads, while those that have come
// stand still. Grows where several are late: they have to meet.
constexpr nanoseconds kLastLimit = milliseconds(160);
Pacing::Options PacingOfPlans() {
  Pacing::Options options;
  options.last_limit = kLastLimit;
  return options;
}

// Of threads that are not waited for.
std::vector<std::string> RemarksOn(OtherThreadsSeen others) {
  std::vector<std::string> remarks = std::move(others.unknown);
  for (const Blocker& other : others.inside) {
    remarks.push_back(absl::StrCat(
        "thread ", other.tid,
        " is not registered, and is not waited for: ", other.reason,
        "; it goes on in the old version until it returns from there"));
  }
  return remarks;
}

}  // namespace

PlanSchedule::PlanSchedule(Parts parts)
    : requirements_(std::move(parts.requirements)),
      point_(std::move(parts.point)),
      points_(std::move(parts.points)),
      only_registered_(parts.only_registered),
      run_(std::move(parts.name)),
      transition_(std::move(parts.mechanisms)) {}
PlanSchedule::~PlanSchedule() = default;

absl::Status PlanSchedule::Begin(UpdatePhase required) {
  INSTAR_RETURN_IF_ERROR(run_.Begin(required));
  transition_.Begin();
  return absl::OkStatus();
}

absl::Status PlanSchedule::StartWatch(Clock::time_point until,
                                      const ApplyOptions& options,
                                      bool for_questions) {
  Transition::WatchOptions watch;
  watch.until = until;
  watch.is_cancelled = [this] { return run_.is_cancelled(); };
  watch.for_questions = for_questions;
  watch.in_any_case = !requirements_.empty() || options.threads != nullptr;
  return transition_.StartWatch(std::move(watch));
}

// --- Questions.

absl::StatusOr<UpdateForecast> PlanSchedule::Prepare() {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  UpdateForecast forecast;
  absl::Status status = CheckThreadNames();
  if (status.ok()) status = transition_.Prepare(forecast);
  if (status.ok()) {
    absl::StatusOr<std::vector<std::string>> unmet = AskRequirements();
    status = unmet.status();
    if (unmet.ok()) {
      for (std::string& reason : *unmet) {
        forecast.obstacles.push_back(std::move(reason));
      }
    }
  }
  if (status.ok()) {
    forecast.can_undo = transition_.CanUndo();
    forecast.lost_by_undo = transition_.LostByUndo();
  }
  run_.End(status.ok() ? UpdatePhase::kPrepared : UpdatePhase::kNew);
  if (!status.ok()) return status;
  return forecast;
}

absl::Status PlanSchedule::CheckThreadNames() const {
  for (const auto& [thread, point] : points_) {
    INSTAR_RETURN_IF_ERROR(threads_internal::CheckThreadName(thread));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> PlanSchedule::AskRequirements() const {
  std::vector<std::string> unmet;
  for (const auto& requirement : requirements_) {
    Attempt attempt = Attempt::Done();
    INSTAR_RETURN_IF_ERROR(transition_.CallUnheld("a requirement", [&] {
      attempt = TryAuthor(requirement);
      return absl::OkStatus();
    }));
    if (attempt.is_failed()) {
      return absl::FailedPreconditionError(attempt.reason());
    }
    if (attempt.is_not_yet()) unmet.push_back(attempt.reason());
  }
  return unmet;
}

Attempt PlanSchedule::Requirements() {
  const absl::StatusOr<std::vector<std::string>> unmet = AskRequirements();
  if (!unmet.ok()) return Attempt::Failed(unmet.status());
  if (unmet->empty()) return Attempt::Done();
  return Attempt::NotYet(absl::StrJoin(*unmet, "; "));
}

absl::Status PlanSchedule::CanUndo() const {
  if (run_.phase() != UpdatePhase::kApplied) {
    return absl::FailedPreconditionError(
        absl::StrCat("update '", name(), "' is not applied"));
  }
  return AskCanUndo();
}

absl::Status PlanSchedule::AskCanUndo() const {
  const absl::Status status = transition_.CanUndo();
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("update '", name(),
                                   "' cannot be undone: ", status.message()));
}

std::vector<std::string> PlanSchedule::LostByUndo() const {
  return transition_.LostByUndo();
}

std::vector<ThreadRef> PlanSchedule::StartedThreads() const {
  return transition_.StartedThreads();
}

absl::StatusOr<std::vector<ThreadRef>> PlanSchedule::ThreadsOf(
    Direction direction, const ApplyOptions& options,
    std::vector<ThreadRef> all) const {
  if (options.threads == nullptr) return all;
  std::vector<ThreadRef> threads;
  INSTAR_RETURN_IF_ERROR(
      transition_.CallUnheld("what says which threads to hold", [&] {
        threads = options.threads();
        if (direction == Direction::kUndo) {
          for (ThreadRef& thread : StartedThreads()) {
            threads.push_back(std::move(thread));
          }
        }
        return absl::OkStatus();
      }));
  return threads;
}

// --- A rehearsal.

absl::StatusOr<std::vector<Blocker>> PlanSchedule::Rehearse(
    const ApplyOptions& options) {
  // When threads have been asked, which show where they come.
  const absl::Cleanup remark = [&] {
    if (options.remarks == nullptr) return;
    const auto remark_on = [&](const std::string& point) {
      if (point.empty()) return;
      std::string unknown = threads_internal::RemarkOnUpdatePoint(point);
      if (!unknown.empty()) options.remarks->push_back(std::move(unknown));
    };
    remark_on(point_);
    for (const auto& [thread, point] : points_) remark_on(point);
  };
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  UpdateForecast forecast;
  absl::Status status = transition_.Prepare(forecast);
  if (!status.ok()) {
    run_.End(UpdatePhase::kNew);
    return status;
  }
  const absl::Cleanup end = [this] { run_.End(UpdatePhase::kPrepared); };
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> unmet,
                          AskRequirements());
  std::vector<Blocker> known;
  for (const std::string& reason : unmet) known.emplace_back().reason = reason;
  if (!known.empty() || options.without_stacks) return known;
  for (const std::string& reason : forecast.obstacles) {
    known.emplace_back().reason = reason;
  }
  INSTAR_RETURN_IF_ERROR(StartWatch(DeadlineAfter(kRehearsedCode), options,
                                    /*for_questions=*/true));
  const absl::Cleanup end_watch = [this] { transition_.EndWatch(); };
  RehearsalOptions how;
  INSTAR_ASSIGN_OR_RETURN(how.threads, ThreadsOf(Direction::kCheck, options,
                                                 /*all=*/ControlledThreads()));
  how.point = point_;
  how.points = points_;
  how.looks_at_others = true;
  how.limit = options.timeout;
  INSTAR_ASSIGN_OR_RETURN(Rehearsal rehearsal,
                          updates_internal::Rehearse(transition_, how));
  const auto add = [&known](std::vector<Blocker>& more) {
    std::move(more.begin(), more.end(), std::back_inserter(known));
  };
  add(rehearsal.blockers);
  if (StopsOthers(options)) {
    add(rehearsal.others.inside);
    rehearsal.others.inside.clear();
  }
  if (options.remarks != nullptr) {
    for (std::string& remark : RemarksOn(std::move(rehearsal.others))) {
      options.remarks->push_back(std::move(remark));
    }
  }
  return known;
}

// --- The change.

absl::Status PlanSchedule::Apply(const ApplyOptions& options) {
  const UpdatePhase before = run_.phase();
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  const Clock::time_point until = DeadlineAfter(run_.begin(), options.timeout);
  absl::Status status = StartWatch(until, options, /*for_questions=*/false);
  const absl::Cleanup end_watch = [this] { transition_.EndWatch(); };
  if (!status.ok()) {
    run_.End(before);
    return status;
  }
  // Also if it was prepared: the program has gone on meanwhile.
  UpdateForecast forecast;
  status = CheckThreadNames();
  if (status.ok()) status = transition_.Prepare(forecast);
  if (!status.ok()) {
    run_.End(UpdatePhase::kNew);
    return status;
  }
  status = Run(Direction::kApply, options, until);
  if (status.ok() && options.remarks != nullptr) {
    std::move(forecast.warnings.begin(), forecast.warnings.end(),
              std::back_inserter(*options.remarks));
    // All others were looked at when it was applied.
    const absl::StatusOr<std::vector<ThreadRef>> threads =
        !StopsOthers(options)
            ? ThreadsOf(Direction::kApply, options, ControlledThreads())
            : absl::NotFoundError("");
    if (threads.ok()) {
      for (std::string& remark :
           RemarksOn(LookAtOthers(transition_, *threads))) {
        options.remarks->push_back(std::move(remark));
      }
    }
  }
  run_.End(status.ok()               ? UpdatePhase::kApplied
           : transition_.is_broken() ? UpdatePhase::kBroken
                                     : UpdatePhase::kPrepared);
  return status;
}

absl::Status PlanSchedule::Undo(const ApplyOptions& options) {
  if (run_.phase() != UpdatePhase::kApplied) return CanUndo();
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kApplied));
  const Clock::time_point until = DeadlineAfter(run_.begin(), options.timeout);
  absl::Status status = StartWatch(until, options, /*for_questions=*/false);
  const absl::Cleanup end_watch = [this] { transition_.EndWatch(); };
  if (status.ok()) status = AskCanUndo();
  if (status.ok()) status = Run(Direction::kUndo, options, until);
  run_.End(status.ok()               ? UpdatePhase::kPrepared
           : transition_.is_broken() ? UpdatePhase::kBroken
                                     : UpdatePhase::kApplied);
  return status;
}

absl::Status PlanSchedule::Run(Direction direction, const ApplyOptions& options,
                               Clock::time_point until) {
  absl::Cleanup settle = [this] { transition_.EndAttempts(); };
  INSTAR_RETURN_IF_ERROR(transition_.BeginAttempts());
  if (StopsOthers(options)) StoppedWorld::FindDeafThreads();
  Retries retries(PacingOfPlans());
  bool is_first = true;
  while (true) {
    if (run_.is_cancelled()) {
      return absl::CancelledError("the update was cancelled");
    }
    run_.Enter(UpdatePhase::kWaiting);
    Obstacles obstacles(Obstacles::kMany);
    const Attempt attempt =
        TryOnce(direction, options, until, is_first, retries, obstacles);
    is_first = false;
    run_.CountAttempts(1);
    if (attempt.is_done()) {
      run_.SetBlockers({});
      if (direction == Direction::kApply && options.settle_later) {
        std::move(settle).Cancel();
      }
      return absl::OkStatus();
    }
    run_.Enter(UpdatePhase::kWaiting);
    if (attempt.is_failed()) return attempt.status();
    run_.SetBlockers(obstacles.ToBlockers());
    run_.WaitUntil(std::min(until, retries.next()));
    if (!run_.is_cancelled() && Clock::now() >= until) {
      return run_.TimeIsUp(direction, Progress());
    }
  }
}

Attempt PlanSchedule::TryOnce(Direction direction, const ApplyOptions& options,
                              Clock::time_point until, bool is_first,
                              Retries& retries, Obstacles& obstacles) {
  if (direction == Direction::kApply) {
    const absl::StatusOr<std::vector<std::string>> unmet = AskRequirements();
    if (!unmet.ok()) return Attempt::Failed(unmet.status());
    for (const std::string& reason : *unmet) obstacles.AddReason(reason);
    if (!unmet->empty()) {
      retries.NoteOther(Clock::now());
      return Attempt::NotYet("a requirement");
    }
  }
  Transition::TryOptions attempt_options;
  attempt_options.stop.limit =
      std::max<nanoseconds>(until - Clock::now(), kFairLimit);
  attempt_options.stop.point = point_;
  attempt_options.stop.points = points_;
  attempt_options.stop.others_by_signal = StopsOthers(options);
  if (options.threads != nullptr) {
    absl::StatusOr<std::vector<ThreadRef>> threads =
        ThreadsOf(direction, options, {});
    if (!threads.ok()) return Attempt::Failed(threads.status());
    attempt_options.stop.threads = *std::move(threads);
  }
  attempt_options.thorough = !is_first;
  attempt_options.is_cancelled = [this] { return run_.is_cancelled(); };
  attempt_options.when_stopped = [this] { run_.Enter(UpdatePhase::kChanging); };
  return transition_.Try(direction, std::move(attempt_options), &retries,
                         obstacles);
}

// --- What others see.

UpdateProgress PlanSchedule::Progress() const {
  UpdateProgress progress = run_.Progress();
  const Mechanism::Progress objects = transition_.progress();
  progress.objects_converted = objects.converted;
  progress.objects_total = objects.total;
  progress.is_converting = objects.is_converting;
  const std::shared_ptr<AuthorWatch> watch = transition_.watch();
  bool released = false;
  const std::string running = watch == nullptr ? "" : watch->running(&released);
  if (running.empty()) return progress;
  progress.phase = UpdatePhase::kBroken;
  progress.blockers.clear();
  Blocker& blocker = progress.blockers.emplace_back();
  if (released) {
    blocker.reason = absl::StrCat(
        running,
        "; the threads have been released, and the state of the program is "
        "unknown");
    blocker.remedy =
        "code that takes no lock of the program, or a plan that holds the "
        "threads where they own none (AtUpdatePoint())";
    return progress;
  }
  const Transition::Effect effect = transition_.effect();
  progress.is_unchanged = effect == Transition::Effect::kNone;
  blocker.reason = absl::StrCat(running, "; ", Transition::TextOf(effect));
  blocker.remedy = "code that returns";
  return progress;
}

HoldTimes PlanSchedule::hold_times() const {
  instar::HoldTimes times = HoldTimesOf(transition_.HoldTimes());
  times.by_signal = static_cast<int>(transition_.stopped_by_signal());
  times.stopping = transition_.stopping_for();
  return times;
}

}  // namespace updates_internal
}  // namespace instar
