// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/schedule.h"

#include <iterator>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "updates/internal/author_calls.h"
#include "updates/internal/rehearsal.h"

namespace instar {
namespace updates_internal {

absl::Status Schedule::Begin(UpdatePhase required,
                             const ApplyOptions& options) {
  INSTAR_RETURN_IF_ERROR(run_.Begin(required));
  BeginAsking(options);
  return absl::OkStatus();
}

void Schedule::End(UpdatePhase phase) {
  EndAsking();
  EndWatch();
  run_.End(phase);
}

absl::Status Schedule::Watch(Clock::time_point until,
                             const ApplyOptions& options, bool for_questions) {
  WatchedCalls::Options watch;
  watch.until = until;
  watch.is_cancelled = [this] { return run_.is_cancelled(); };
  return StartWatch(std::move(watch), options, for_questions);
}

// --- Questions.

absl::StatusOr<UpdateForecast> Schedule::Prepare() {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared, {}));
  UpdateForecast forecast;
  absl::Status status = PrepareParts(forecast);
  if (status.ok()) {
    absl::StatusOr<std::vector<std::string>> unmet = AskRequirements();
    status = unmet.status();
    if (unmet.ok()) {
      std::move(unmet->begin(), unmet->end(),
                std::back_inserter(forecast.obstacles));
    }
  }
  if (status.ok()) {
    forecast.can_undo = AskCanUndo();
    forecast.lost_by_undo = LostByUndo();
  }
  End(status.ok() ? UpdatePhase::kPrepared : UpdatePhase::kNew);
  if (!status.ok()) return status;
  return forecast;
}

absl::StatusOr<std::vector<std::string>> Schedule::AskRequirements() const {
  std::vector<std::string> unmet;
  for (const Requirement& requirement : requirements_) {
    Attempt attempt = Attempt::Done();
    INSTAR_RETURN_IF_ERROR(calls().Call("a requirement", [&] {
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

Attempt Schedule::Requirements() {
  const absl::StatusOr<std::vector<std::string>> unmet = AskRequirements();
  if (!unmet.ok()) return Attempt::Failed(unmet.status());
  if (unmet->empty()) return Attempt::Done();
  return Attempt::NotYet(absl::StrJoin(*unmet, "; "));
}

absl::Status Schedule::CanUndo() const {
  if (run_.phase() != UpdatePhase::kApplied) {
    return absl::FailedPreconditionError(
        absl::StrCat("update '", name(), "' is not applied"));
  }
  return NamedCanUndo();
}

absl::Status Schedule::NamedCanUndo() const {
  const absl::Status status = AskCanUndo();
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("update '", name(),
                                   "' cannot be undone: ", status.message()));
}

absl::StatusOr<std::vector<Blocker>> Schedule::Rehearse(
    const ApplyOptions& options) {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared, options));
  UpdateForecast forecast;
  const absl::Status status = PrepareParts(forecast);
  if (!status.ok()) {
    End(UpdatePhase::kNew);
    return status;
  }
  const absl::Cleanup end = [this] { End(UpdatePhase::kPrepared); };
  INSTAR_RETURN_IF_ERROR(Watch(DeadlineAfter(kRehearsedCode), options,
                               /*for_questions=*/true));
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> unmet,
                          AskRequirements());
  std::vector<Blocker> blockers;
  for (const std::string& reason : unmet) {
    blockers.emplace_back().reason = reason;
  }
  if (!blockers.empty()) return blockers;
  INSTAR_RETURN_IF_ERROR(Look(options, forecast, blockers));
  return blockers;
}

// --- The change.

absl::Status Schedule::Apply(const ApplyOptions& options) {
  UpdatePhase otherwise = run_.phase();
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared, options));
  const Clock::time_point until = DeadlineAfter(run_.begin(), options.timeout);
  absl::Status status = Watch(until, options, /*for_questions=*/false);
  UpdateForecast forecast;
  if (status.ok()) {
    // Also if it was prepared: the program has gone on meanwhile.
    otherwise = UpdatePhase::kNew;
    status = PrepareParts(forecast);
  }
  if (status.ok()) {
    otherwise = UpdatePhase::kPrepared;
    status = Run(Direction::kApply, options, until);
  }
  if (status.ok() && options.remarks != nullptr) {
    std::move(forecast.warnings.begin(), forecast.warnings.end(),
              std::back_inserter(*options.remarks));
    RemarkOnApplied(options);
  }
  End(status.ok()  ? UpdatePhase::kApplied
      : IsBroken() ? UpdatePhase::kBroken
                   : otherwise);
  return status;
}

absl::Status Schedule::Undo(const ApplyOptions& options) {
  if (run_.phase() != UpdatePhase::kApplied) return CanUndo();
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kApplied, options));
  const Clock::time_point until = DeadlineAfter(run_.begin(), options.timeout);
  absl::Status status = Watch(until, options, /*for_questions=*/false);
  if (status.ok()) status = NamedCanUndo();
  if (status.ok()) status = Run(Direction::kUndo, options, until);
  End(status.ok()  ? UpdatePhase::kPrepared
      : IsBroken() ? UpdatePhase::kBroken
                   : UpdatePhase::kApplied);
  return status;
}

// --- What others see.

UpdateProgress Schedule::Progress() const {
  UpdateProgress progress = run_.Progress();
  AddTo(progress);
  const std::shared_ptr<AuthorWatch> watch = calls().watch();
  bool released = false;
  const std::string running = watch == nullptr ? "" : watch->running(&released);
  if (running.empty()) return progress;
  // What does not return is all that there is to be said.
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
  const WatchedCalls::Effect effect = calls().effect();
  progress.is_unchanged = effect == WatchedCalls::Effect::kNone;
  blocker.reason = absl::StrCat(running, "; ", WatchedCalls::TextOf(effect));
  blocker.remedy = "code that returns";
  return progress;
}

}  // namespace updates_internal
}  // namespace instar
