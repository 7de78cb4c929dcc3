// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What MakeUpdate() makes of a plan (updates/update_plan.h, which says what
// Apply() and Undo() do). Internal to this package.
//
// Locks: `lock_` guards what Progress() shows besides `run_`; nothing is called
// while it is held, and neither it nor that of `run_` is taken while threads
// are held, since one of them may be in Progress().

#ifndef INSTAR_UPDATES_PLANNED_UPDATE_H_
#define INSTAR_UPDATES_PLANNED_UPDATE_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "code/function.h"
#include "stack/function_set.h"
#include "stack/stack_snapshot.h"
#include "threads/attempt.h"
#include "threads/rendezvous.h"
#include "updates/author_watch.h"
#include "updates/code_version.h"
#include "updates/plan_step.h"
#include "updates/plan_steps.h"
#include "updates/update.h"
#include "updates/update_run.h"

namespace instar {
namespace updates_internal {

class PlannedUpdate final : public Update {
 public:
  struct Parts {
    std::string name;
    // In the order in which they are applied.
    std::vector<std::unique_ptr<PlanStep>> steps;
    std::vector<std::function<Attempt()>> requirements;
    std::string point;
    std::vector<const ConversionPlanStep*> conversions;  // of `steps`
  };

  explicit PlannedUpdate(Parts parts);
  ~PlannedUpdate() override;

  const std::string& name() const override { return parts_.name; }
  absl::StatusOr<UpdateForecast> Prepare() override;
  absl::StatusOr<std::vector<Blocker>> Rehearse(
      const ApplyOptions& options) override;
  Attempt Requirements() override;
  absl::Status Apply(const ApplyOptions& options) override;
  absl::Status CanUndo() const override;
  absl::Status Undo(const ApplyOptions& options) override;
  void Cancel() override { run_.Cancel(); }
  UpdateProgress Progress() const override;
  HoldTimes hold_times() const override;
  std::vector<ThreadRef> StartedThreads() const override;

 private:
  using Clock = UpdateRun::Clock;
  // kRehearse: as kApply, but nothing is changed, and each thread is asked for
  // itself.
  enum class Direction { kApply, kRehearse, kUndo };
  // What an attempt comes to while threads are held.
  enum class Verdict { kDone, kNotYet, kFailed };
  // One attempt, and what it saw.
  struct Look;
  // What went wrong while threads were held. It is told afterwards.
  struct Failure {
    const PlanStep* step = nullptr;
    absl::Status status;
    // Steps before it (after it, of an undo), and why what they had done could
    // not be taken back; OK: they have nothing that does.
    std::vector<std::pair<const PlanStep*, absl::Status>> not_taken_back;
  };

  absl::Status PrepareSteps(UpdateForecast& forecast);
  // Looks up what must be on no stack, as far as what is known is not right any
  // more.
  absl::Status FindCode(bool thorough);
  // The reasons of requirements that are not met yet; an error if one says
  // "never".
  absl::StatusOr<std::vector<std::string>> AskRequirements() const;
  // Attempts until one is done or has failed, the time is up, or Cancel().
  absl::Status Run(Direction direction, const ApplyOptions& options,
                   Clock::time_point until);
  static std::optional<ThreadRef> NextToAsk(
      const std::vector<MissingThread>& late, std::size_t attempt);
  // Over those that `is_watched` says, requirements and what the options call,
  // if there are any.
  absl::Status StartWatch(Clock::time_point until,
                          bool (*is_watched)(const PlanStep&),
                          const ApplyOptions& options);
  void EndWatch();
  Attempt TryOnce(Direction direction, const ApplyOptions& options,
                  std::chrono::nanoseconds limit, bool thorough, Look& look);
  // A rehearsal: asks one thread after the other.
  absl::Status AskEach(const ApplyOptions& options, bool thorough,
                       std::vector<Blocker>& blockers, bool& is_active);
  // Where the threads are that are not among these, nor the caller.
  void LookAtOthers(absl::Span<const ThreadRef> threads,
                    std::vector<std::string>& remarks) const;
  // Those that the options say, or else `all`.
  absl::StatusOr<std::vector<ThreadRef>> ThreadsOf(
      Direction direction, const ApplyOptions& options,
      std::vector<ThreadRef> all) const;
  // While the threads are held, and nothing is allocated but by the author's
  // code (base/no_allocation.h).
  absl::Status MakeRoom(Look& look) const;  // before that
  Verdict AskSteps(Direction direction, const Rendezvous& rendezvous,
                   Look& look);
  Verdict LookAtStacks(absl::Span<const HeldThread> threads, Look& look);
  // The caller's.
  void LookAtOwn(Look& look) const;
  void LookAt(const StackSnapshot& stack, const ThreadRef* thread,
              Look& look) const;
  bool ApplySteps(Failure& failure);
  bool UndoSteps(Failure& failure);
  // CallAuthor(), with a watch over what is the author's. The first one while
  // threads are held. The others while they run: of a step, "Stage()", with the
  // step's name in the error, and anything else.
  absl::Status Call(const PlanStep& step,
                    absl::FunctionRef<absl::Status()> function);
  absl::Status CallUnheld(const PlanStep& step, const char* what,
                          absl::FunctionRef<absl::Status()> function) const;
  absl::Status CallUnheld(const std::string& what,
                          absl::FunctionRef<absl::Status()> function) const;
  // Of what answers nothing: an exception is said on standard error. An error
  // is that it has been given up.
  absl::Status TellUnheld(const PlanStep& step, const char* what,
                          absl::FunctionRef<void()> function) const;
  absl::Status AskCanUndo() const;
  bool threads_were_released() const {
    return watch_ != nullptr && watch_->has_released();
  }
  // What a call comes to that is given up while threads run.
  enum class Effect { kNone, kApplied, kUndone, kUnknown };
  static const char* TextOf(Effect effect);
  // When they run again.
  absl::Status Explain(const Failure& failure, Direction direction) const;
  std::vector<Blocker> Explain(const Look& look) const;

  absl::Status Begin(UpdatePhase required);
  void SetBlockers(std::vector<Blocker> blockers);

  const Parts parts_;
  UpdateRun run_;

  // Of the thread that calls Prepare(), Apply() and Undo().
  std::optional<Rendezvous> last_hold_;  // released
  Rendezvous* rendezvous_ = nullptr;     // while threads are held
  std::vector<std::string> names_;       // of the steps, while watch_ is there
  // What Apply() or Undo() has done could not be rolled back.
  bool is_broken_ = false;
  // Of the latest Apply() or Undo() so far. Relaxed: for people.
  std::atomic<Effect> effect_{Effect::kNone};
  // Of QuiescentFunctions() of all steps, and when that was looked up.
  std::vector<Function> functions_;
  std::shared_ptr<const WatchedFunctions> watched_functions_;
  std::optional<CodeVersion> code_version_;
  // That and QuiescentCode() of all steps.
  std::vector<std::shared_ptr<const WatchedFunctions>> watched_;

  mutable std::mutex lock_;  // of the rest
  // While Rehearse(), Apply() or Undo() runs, if the author's code does. Set by
  // the thread that calls them, which reads it without the lock.
  std::shared_ptr<AuthorWatch> watch_;
  std::vector<Blocker> blockers_;
  // Since when each of them has been there, by what it is.
  std::map<std::string, Clock::time_point> since_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_PLANNED_UPDATE_H_
