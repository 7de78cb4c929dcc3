// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The schedule of a plan: everything at one moment. What UpdatePlan makes.
// Internal to this package.

#ifndef INSTAR_UPDATES_INTERNAL_PLAN_SCHEDULE_H_
#define INSTAR_UPDATES_INTERNAL_PLAN_SCHEDULE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "updates/internal/transition.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/update.h"
#include "updates/update_run.h"

namespace instar {
namespace updates_internal {

class PlanSchedule final : public Update {
 public:
  struct Parts {
    std::string name;
    // In the order in which they are applied.
    std::vector<std::shared_ptr<Mechanism>> mechanisms;
    std::vector<std::function<Attempt()>> requirements;
    std::string point;
    std::map<std::string, std::string> points;  // StopOptions::points
    bool only_registered = false;
  };

  explicit PlanSchedule(Parts parts);
  ~PlanSchedule() override;

  const std::string& name() const override { return run_.name(); }
  absl::StatusOr<UpdateForecast> Prepare() override;
  absl::StatusOr<std::vector<Blocker>> Rehearse(
      const ApplyOptions& options) override;
  Attempt Requirements() override;
  absl::Status Apply(const ApplyOptions& options) override;
  void Settle() override { transition_.EndAttempts(); }
  absl::Status CanUndo() const override;
  std::vector<std::string> LostByUndo() const override;
  absl::Status Undo(const ApplyOptions& options) override;
  void Cancel() override { run_.Cancel(); }
  UpdateProgress Progress() const override;
  HoldTimes hold_times() const override;
  std::vector<ThreadRef> StartedThreads() const override;

 private:
  using Clock = UpdateRun::Clock;

  absl::Status Begin(UpdatePhase required);
  absl::Status StartWatch(Clock::time_point until, const ApplyOptions& options,
                          bool for_questions);
  // Besides the threads that are held.
  bool StopsOthers(const ApplyOptions& options) const {
    return !only_registered_ && options.threads == nullptr;
  }
  // Of those that are held at points of their own.
  absl::Status CheckThreadNames() const;
  // The reasons of requirements that are not met yet; an error if one says
  // "never".
  absl::StatusOr<std::vector<std::string>> AskRequirements() const;
  absl::Status AskCanUndo() const;
  // Attempts until one is done or has failed, the time is up, or Cancel().
  absl::Status Run(Direction direction, const ApplyOptions& options,
                   Clock::time_point until);
  Attempt TryOnce(Direction direction, const ApplyOptions& options,
                  Clock::time_point until, bool is_first, Retries& retries,
                  Obstacles& obstacles);
  // Those that the options say, or else `all`.
  absl::StatusOr<std::vector<ThreadRef>> ThreadsOf(
      Direction direction, const ApplyOptions& options,
      std::vector<ThreadRef> all) const;

  const std::vector<std::function<Attempt()>> requirements_;
  const std::string point_;
  const std::map<std::string, std::string> points_;
  const bool only_registered_;
  UpdateRun run_;
  Transition transition_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_PLAN_SCHEDULE_H_
