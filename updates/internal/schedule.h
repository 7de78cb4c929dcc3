// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the library's schedules have in common: the way through Prepare(),
// Rehearse(), Apply() and Undo(), with its phases, its requirements, and the
// watch over what the author wrote. What is prepared and how it is tried is a
// schedule's own. Internal to this package.

#ifndef INSTAR_UPDATES_INTERNAL_SCHEDULE_H_
#define INSTAR_UPDATES_INTERNAL_SCHEDULE_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "threads/attempt.h"
#include "updates/internal/watched_calls.h"
#include "updates/mechanisms/direction.h"
#include "updates/mechanisms/update_forecast.h"
#include "updates/update.h"
#include "updates/update_run.h"

namespace instar {
namespace updates_internal {

class Schedule : public Update {
 public:
  const std::string& name() const final { return run_.name(); }
  absl::StatusOr<UpdateForecast> Prepare() final;
  absl::StatusOr<std::vector<Blocker>> Rehearse(
      const ApplyOptions& options) override;
  Attempt Requirements() final;
  absl::Status Apply(const ApplyOptions& options) final;
  absl::Status CanUndo() const final;
  absl::Status Undo(const ApplyOptions& options) final;
  void Cancel() final { run_.Cancel(); }
  UpdateProgress Progress() const final;

 protected:
  using Clock = UpdateRun::Clock;
  using Requirement = std::function<Attempt()>;

  Schedule(std::string name, std::vector<Requirement> requirements)
      : run_(std::move(name)), requirements_(std::move(requirements)) {}

  // --- What a schedule is. Called in this order, one at a time.

  // Whom the options let be asked, from before anything is prepared until the
  // end.
  virtual void BeginAsking(const ApplyOptions& options) {
    static_cast<void>(options);
  }
  virtual void EndAsking() {}
  // Over what the author wrote. `for_questions`: nothing else will be called.
  virtual absl::Status StartWatch(WatchedCalls::Options watch,
                                  const ApplyOptions& options,
                                  bool for_questions) = 0;
  virtual void EndWatch() = 0;
  virtual absl::Status PrepareParts(UpdateForecast& forecast) = 0;
  virtual absl::Status AskCanUndo() const = 0;
  // Adds what is in the way now; the requirements are met.
  virtual absl::Status Look(const ApplyOptions& options,
                            const UpdateForecast& forecast,
                            std::vector<Blocker>& blockers) = 0;
  // Attempts until it is done, one has failed, the time is up, or Cancel().
  virtual absl::Status Run(Direction direction, const ApplyOptions& options,
                           Clock::time_point until) = 0;
  // Of Apply() that was done; the warnings are there.
  virtual void RemarkOnApplied(const ApplyOptions& options) {
    static_cast<void>(options);
  }
  // It is not known what is in effect, and will not be.
  virtual bool IsBroken() const = 0;

  virtual const WatchedCalls& calls() const = 0;
  // At any time, by any thread.
  virtual void AddTo(UpdateProgress& progress) const = 0;

  // --- What it may use.

  UpdateRun& run() { return run_; }
  const UpdateRun& run() const { return run_; }
  bool has_requirements() const { return !requirements_.empty(); }
  // The reasons of requirements that are not met yet; an error if one says
  // "never", or was given up.
  absl::StatusOr<std::vector<std::string>> AskRequirements() const;

 private:
  // Between them one thread works on it, and nobody is left to be asked, or to
  // watch, behind them.
  absl::Status Begin(UpdatePhase required, const ApplyOptions& options);
  void End(UpdatePhase phase);
  absl::Status Watch(Clock::time_point until, const ApplyOptions& options,
                     bool for_questions);
  absl::Status NamedCanUndo() const;

  UpdateRun run_;
  const std::vector<Requirement> requirements_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_SCHEDULE_H_
