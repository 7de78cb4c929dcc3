// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/replace_when_held.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "stack/exposed_values.h"
#include "stack/unwind_safety.h"
#include "threads/internal/held_call.h"
#include "threads/known_names.h"
#include "threads/thread_ref.h"
#include "updates/mechanisms/internal/built_in.h"

namespace instar {
namespace updates_internal {
namespace {

class ReplaceMechanism final : public BuiltInMechanism {
 public:
  ReplaceMechanism(std::string thread_name, absl::StatusOr<Function> function,
                   SuccessorMaker make, const ReplaceActivationOptions& options)
      : thread_name_(std::move(thread_name)),
        function_(std::move(function)),
        make_(std::move(make)),
        options_(options) {}

  std::string name() const override {
    return absl::StrCat("replace the activation of ",
                        function_.ok() ? function_->name() : "a function",
                        " in thread '", thread_name_, "'");
  }
  Authors authors() const override { return Authors::kInTheChange; }
  std::string AuthorsPart() const override {
    return absl::StrCat("what captures the state of an activation in thread '",
                        thread_name_, "'");
  }
  Stacks least_stacks(bool) const override {
    return Stacks::kControlledThreads;
  }
  PointAllows NeedsOf(const ThreadRef& thread) const override {
    return thread.name() == thread_name_ ? PointAllows::kReboot
                                         : PointAllows::kMemory;
  }

  absl::Status Prepare(UpdateForecast& forecast) override;
  absl::Status CanUndo() const override {
    return absl::FailedPreconditionError(
        absl::StrCat("an activation in thread '", thread_name_,
                     "' was replaced, and what has come of it is not known"));
  }
  absl::Status BeforeStop() override;
  Attempt Ready(const StoppedWorld& world, Direction direction) override;
  Attempt Apply(const StoppedWorld& world) override;
  // At the same stop.
  Attempt Undo(const StoppedWorld& world) override;
  void AfterStop(AttemptResult) override { targets_.clear(); }
  std::vector<Blocker> Blockers() const override;

  std::uintptr_t UnwindsUpTo(const ThreadRef& thread) const override {
    for (const Target& target : targets_) {
      if (target.thread.thread == thread) return target.activation.cfa;
    }
    return 0;
  }

 private:
  struct Target {
    HeldThread thread;
    Activation activation;
    Successor successor = {};  // whose state is owned from Apply() on
  };
  struct Obstacle {
    ThreadRef thread;
    const char* reason;  // null: `search` says it
    ActivationSearch search;
  };

  const std::string thread_name_;
  const absl::StatusOr<Function> function_;
  SuccessorMaker make_;
  const ReplaceActivationOptions options_;
  std::vector<Target> targets_;
  std::vector<Obstacle> obstacles_;
};

absl::Status ReplaceMechanism::Prepare(UpdateForecast& forecast) {
  if (!function_.ok()) return function_.status();
  INSTAR_RETURN_IF_ERROR(threads_internal::CheckThreadName(thread_name_));
  if (!options_.pass_c) PrepareToFindCFrames();
  if (ControlledThreads(thread_name_).empty()) {
    forecast.Warn(absl::StrCat("there is no controlled thread '", thread_name_,
                               "' in which an activation could be replaced"));
  }
  return absl::OkStatus();
}

absl::Status ReplaceMechanism::BeforeStop() {
  const std::size_t count = ControlledThreads(thread_name_).size();
  targets_.clear();
  targets_.reserve(count);
  obstacles_.clear();
  obstacles_.reserve(count + 1);
  return absl::OkStatus();
}

Attempt ReplaceMechanism::Ready(const StoppedWorld& world,
                                Direction direction) {
  if (direction == Direction::kUndo) return Attempt::Done();
  if (world.context() != nullptr) {
    const AuthorsCode its_error;
    return Attempt::Failed(absl::InvalidArgumentError(
        "it is done while threads are held, not in an update function: call "
        "ReplaceActivation() in the thread"));
  }
  targets_.clear();
  obstacles_.clear();
  for (const HeldThread& thread : world.threads()) {
    if (thread.thread.name() != thread_name_ || thread.stacks.empty()) continue;
    // Of what waits because it has switched to a continulet nothing is
    // replaced.
    StackSnapshot own = thread.stacks.front();
    own.switcher = nullptr;
    const ActivationSearch search = SearchActivation(own, *function_, options_);
    if (search.end == ActivationSearch::End::kNotActive) continue;
    const char* const reason = FindCallObstacle(thread);
    if (reason == nullptr && search.end == ActivationSearch::End::kFound &&
        targets_.size() < targets_.capacity()) {
      targets_.push_back(Target{thread, search.activation});
      continue;
    }
    obstacles_.push_back(Obstacle{
        thread.thread,
        targets_.size() < targets_.capacity() ? reason : "it has just begun",
        search});
    if (obstacles_.size() == obstacles_.capacity()) break;
  }
  return obstacles_.empty() ? Attempt::Done() : Attempt::NotYet("");
}

Attempt ReplaceMechanism::Apply(const StoppedWorld& world) {
  for (Target& target : targets_) {
    absl::StatusOr<Successor> made;
    absl::AnyInvocable<void()> take_over;
    {
      const stack_internal::ScopedExposedValues scope(ExposedBy(target.thread));
      const AuthorsCode its_capture;  // and the state that it makes
      made = make_(target.activation, target.thread.stacks.front().bounds);
      if (made.ok()) {
        take_over = [activation = target.activation, successor = *made] {
          UnwindAndEnter(activation, successor);
        };
      }
    }
    if (!made.ok()) {
      Undo(world);
      const AuthorsCode its_error;
      const absl::Status error = std::exchange(made, Successor()).status();
      return absl::IsNotFound(error)
                 ? Attempt::NotYet(std::string(error.message()))
                 : Attempt::Failed(error);
    }
    if (!SetHeldCall(target.thread, take_over)) {
      // `capture` was given up.
      const AuthorsCode its_state;
      take_over = nullptr;
      made->drop(made->state);
      return Attempt::Failed(absl::AbortedError("the threads have gone on"));
    }
    target.successor = *made;
  }
  return Attempt::Done();
}

Attempt ReplaceMechanism::Undo(const StoppedWorld&) {
  for (Target& target : targets_) {
    if (target.successor.enter == nullptr) continue;
    absl::AnyInvocable<void()> take_over = CancelHeldCall(target.thread);
    const AuthorsCode its_state;
    if (take_over) target.successor.drop(target.successor.state);
    take_over = nullptr;
    target.successor = {};
  }
  return Attempt::Done();
}

std::vector<Blocker> ReplaceMechanism::Blockers() const {
  std::vector<Blocker> blockers;
  for (const Obstacle& obstacle : obstacles_) {
    Blocker& blocker = blockers.emplace_back();
    blocker.thread = obstacle.thread.name();
    blocker.tid = obstacle.thread.tid();
    blocker.function = function_->name();
    if (obstacle.reason != nullptr) {
      blocker.reason = absl::StrCat(function_->name(), " is active there, and ",
                                    obstacle.reason);
      blocker.remedy = "an UpdatePoint() in what it calls";
    } else {
      blocker.reason =
          std::string(Explain(obstacle.search, *function_).message());
    }
  }
  return blockers;
}

}  // namespace

std::shared_ptr<Mechanism> MakeReplacement(
    std::string thread_name, absl::StatusOr<Function> function,
    SuccessorMaker make, const ReplaceActivationOptions& options) {
  return std::make_shared<ReplaceMechanism>(
      std::move(thread_name), std::move(function), std::move(make), options);
}

}  // namespace updates_internal
}  // namespace instar
