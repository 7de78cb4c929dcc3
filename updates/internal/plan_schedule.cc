// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/plan_schedule.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "threads/known_names.h"
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
    : Schedule(std::move(parts.name), std::move(parts.requirements)),
      point_(std::move(parts.point)),
      points_(std::move(parts.points)),
      only_registered_(parts.only_registered),
      transition_(std::move(parts.mechanisms)) {}
PlanSchedule::~PlanSchedule() = default;

absl::Status PlanSchedule::StartWatch(WatchedCalls::Options watch,
                                      const ApplyOptions& options,
                                      bool for_questions) {
  return transition_.StartWatch(
      {std::move(watch), for_questions,
       /*in_any_case=*/has_requirements() || options.threads != nullptr});
}

// --- Questions.

absl::Status PlanSchedule::PrepareParts(UpdateForecast& forecast) {
  for (const auto& [thread, point] : points_) {
    INSTAR_RETURN_IF_ERROR(threads_internal::CheckThreadName(thread));
  }
  return transition_.Prepare(forecast);
}

absl::StatusOr<std::vector<ThreadRef>> PlanSchedule::ThreadsOf(
    Direction direction, const ApplyOptions& options,
    std::vector<ThreadRef> all) const {
  if (options.threads == nullptr) return all;
  std::vector<ThreadRef> threads;
  INSTAR_RETURN_IF_ERROR(calls().Call("what says which threads to hold", [&] {
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
  absl::StatusOr<std::vector<Blocker>> blockers = Schedule::Rehearse(options);
  if (options.remarks == nullptr) return blockers;
  // When threads have been asked, which show where they come.
  const auto remark_on = [&](const std::string& point) {
    if (point.empty()) return;
    std::string unknown = threads_internal::RemarkOnUpdatePoint(point);
    if (!unknown.empty()) options.remarks->push_back(std::move(unknown));
  };
  remark_on(point_);
  for (const auto& [thread, point] : points_) remark_on(point);
  return blockers;
}

absl::Status PlanSchedule::Look(const ApplyOptions& options,
                                const UpdateForecast& forecast,
                                std::vector<Blocker>& blockers) {
  if (options.without_stacks) return absl::OkStatus();
  for (const std::string& reason : forecast.obstacles) {
    blockers.emplace_back().reason = reason;
  }
  RehearsalOptions how;
  INSTAR_ASSIGN_OR_RETURN(how.threads, ThreadsOf(Direction::kCheck, options,
                                                 /*all=*/ControlledThreads()));
  how.point = point_;
  how.points = points_;
  how.looks_at_others = true;
  how.limit = options.timeout;
  INSTAR_ASSIGN_OR_RETURN(Rehearsal rehearsal,
                          updates_internal::Rehearse(transition_, how));
  const auto add = [&blockers](std::vector<Blocker>& more) {
    std::move(more.begin(), more.end(), std::back_inserter(blockers));
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
  return absl::OkStatus();
}

// --- The change.

void PlanSchedule::RemarkOnApplied(const ApplyOptions& options) {
  // All others were looked at when it was applied.
  if (StopsOthers(options)) return;
  const absl::StatusOr<std::vector<ThreadRef>> threads =
      ThreadsOf(Direction::kApply, options, ControlledThreads());
  if (!threads.ok()) return;
  for (std::string& remark : RemarksOn(LookAtOthers(transition_, *threads))) {
    options.remarks->push_back(std::move(remark));
  }
}

absl::Status PlanSchedule::Run(Direction direction, const ApplyOptions& options,
                               Clock::time_point until) {
  absl::Cleanup settle = [this] { transition_.EndAttempts(); };
  INSTAR_RETURN_IF_ERROR(transition_.BeginAttempts());
  Retries retries(PacingOfPlans());
  bool is_first = true;
  while (true) {
    if (run().is_cancelled()) {
      return absl::CancelledError("the update was cancelled");
    }
    run().Enter(UpdatePhase::kWaiting);
    Obstacles obstacles(Obstacles::kMany);
    const Attempt attempt =
        TryOnce(direction, options, until, is_first, retries, obstacles);
    run().CountAttempts(1);
    if (attempt.is_done()) {
      run().SetBlockers({});
      if (direction == Direction::kApply && options.settle_later) {
        std::move(settle).Cancel();
      }
      return absl::OkStatus();
    }
    run().Enter(UpdatePhase::kWaiting);
    if (attempt.is_failed()) return attempt.status();
    run().SetBlockers(obstacles.ToBlockers());
    run().WaitUntil(std::min(until, retries.next()));
    if (!run().is_cancelled() && Clock::now() >= until) {
      return run().TimeIsUp(direction, Progress());
    }
  }
}

Attempt PlanSchedule::TryOnce(Direction direction, const ApplyOptions& options,
                              Clock::time_point until, bool& is_first,
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
  attempt_options.thorough = !std::exchange(is_first, false);
  attempt_options.is_cancelled = [this] { return run().is_cancelled(); };
  attempt_options.when_stopped = [this] {
    run().Enter(UpdatePhase::kChanging);
  };
  return transition_.Try(direction, std::move(attempt_options), &retries,
                         obstacles);
}

// --- What others see.

void PlanSchedule::AddTo(UpdateProgress& progress) const {
  const Mechanism::Progress objects = transition_.progress();
  progress.objects_converted = objects.converted;
  progress.objects_total = objects.total;
  progress.is_converting = objects.is_converting;
}

HoldTimes PlanSchedule::hold_times() const {
  instar::HoldTimes times = HoldTimesOf(transition_.HoldTimes());
  times.by_signal = static_cast<int>(transition_.stopped_by_signal());
  times.stopping = transition_.stopping_for();
  return times;
}

}  // namespace updates_internal
}  // namespace instar
