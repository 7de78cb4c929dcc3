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
#include "updates/internal/schedule.h"
#include "updates/internal/transition.h"
#include "updates/internal/watched_calls.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/update.h"

namespace instar {
namespace updates_internal {

class PlanSchedule final : public Schedule {
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

  absl::StatusOr<std::vector<Blocker>> Rehearse(
      const ApplyOptions& options) override;
  void Settle() override { transition_.EndAttempts(); }
  std::vector<std::string> LostByUndo() const override {
    return transition_.LostByUndo();
  }
  HoldTimes hold_times() const override;
  std::vector<ThreadRef> StartedThreads() const override {
    return transition_.StartedThreads();
  }

 private:
  absl::Status StartWatch(WatchedCalls::Options watch,
                          const ApplyOptions& options,
                          bool for_questions) override;
  void EndWatch() override { transition_.calls().End(); }
  absl::Status PrepareParts(UpdateForecast& forecast) override;
  absl::Status AskCanUndo() const override { return transition_.CanUndo(); }
  absl::Status Look(const ApplyOptions& options, const UpdateForecast& forecast,
                    std::vector<Blocker>& blockers) override;
  absl::Status Run(Direction direction, const ApplyOptions& options,
                   Clock::time_point until) override;
  void RemarkOnApplied(const ApplyOptions& options) override;
  bool IsBroken() const override { return transition_.is_broken(); }
  const WatchedCalls& calls() const override { return transition_.calls(); }
  void AddTo(UpdateProgress& progress) const override;

  // Besides the threads that are held.
  bool StopsOthers(const ApplyOptions& options) const {
    return !only_registered_ && options.threads == nullptr;
  }
  // `is_first`: no thread has been stopped so far.
  Attempt TryOnce(Direction direction, const ApplyOptions& options,
                  Clock::time_point until, bool& is_first, Retries& retries,
                  Obstacles& obstacles);
  // Those that the options say, or else `all`.
  absl::StatusOr<std::vector<ThreadRef>> ThreadsOf(
      Direction direction, const ApplyOptions& options,
      std::vector<ThreadRef> all) const;

  const std::string point_;
  const std::map<std::string, std::string> points_;
  const bool only_registered_;
  Transition transition_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_PLAN_SCHEDULE_H_
