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
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "stack/exposed_values.h"
#include "stack/unwind_safety.h"
#include "threads/internal/held_call.h"
#include "threads/known_names.h"
#include "threads/thread_ref.h"

namespace instar {
namespace updates_internal {

class ReplaceMechanism final : public Mechanism {
 public:
  ReplaceMechanism(std::string thread_name,
                   std::vector<Replacement> replacements,
                   std::vector<Replacement> when_undone,
                   const ReplaceActivationOptions& options)
      : thread_name_(std::move(thread_name)),
        replacements_(std::move(replacements)),
        when_undone_(std::move(when_undone)),
        options_(options) {}

  std::string name() const override {
    std::vector<std::string> names;
    for (const Replacement& each : replacements_) {
      names.push_back(each.function_.ok() ? each.function_->name()
                                          : "a function");
    }
    return absl::StrCat("replace the activation of ",
                        absl::StrJoin(names, " or "), " in thread '",
                        thread_name_, "'");
  }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kTheChange, Stacks::kControlledThreads,
            thread_name_};
  }
  PointAllows NeedsOf(const ThreadRef& thread) const noexcept override {
    return thread.name() == thread_name_ ? PointAllows::kReboot
                                         : PointAllows::kMemory;
  }

  absl::Status Prepare(UpdateForecast& forecast) override;
  absl::Status CanUndo() const override {
    if (!when_undone_.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("an activation in thread '", thread_name_,
                     "' was replaced, and what has come of it is not known"));
  }
  std::vector<std::string> LostByUndo() const override {
    if (when_undone_.empty()) return {};
    return {
        "what the new function has in local variables, but for what is "
        "captured of them when it is undone"};
  }
  absl::Status BeforeStop() override;
  Attempt Ready(const StoppedWorld& world, Direction direction) override;
  Attempt Apply(const StoppedWorld& world) override {
    return ReplaceAll(world);
  }
  Attempt Undo(const StoppedWorld& world) override { return ReplaceAll(world); }
  Attempt RollBack(const StoppedWorld& world, Direction) override {
    Cancel(/*is_own=*/world.context() != nullptr);
    return Attempt::Done();
  }
  void AfterStop(AttemptResult) override { targets_.clear(); }
  std::vector<Blocker> Blockers() const override;

  std::uintptr_t UnwindsUpTo(const ThreadRef& thread) const override {
    for (const Target& target : targets_) {
      if (target.thread.thread == thread) return target.activation.cfa;
    }
    return StoppedWorld::kAllCounts;
  }

 private:
  struct Target {
    HeldThread thread;
    Replacement* replacement;
    Activation activation;
    StackBounds stack;
    Successor successor = {};  // whose state is owned once it is made
  };
  struct Obstacle {
    ThreadRef thread;
    const Replacement* replacement;
    const char* reason;  // null: `search` says it
    ActivationSearch search;
  };

  void Find(const HeldThread& thread, bool is_own, Direction direction);
  Attempt ReplaceAll(const StoppedWorld& world);
  Attempt Replace(Target& target, bool is_own);
  void Cancel(bool is_own);

  const std::string thread_name_;
  std::vector<Replacement> replacements_;
  std::vector<Replacement> when_undone_;
  const ReplaceActivationOptions options_;
  std::vector<Target> targets_;
  std::vector<Obstacle> obstacles_;
};

absl::Status ReplaceMechanism::Prepare(UpdateForecast& forecast) {
  if (replacements_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "thread '", thread_name_,
        "' is to have an activation replaced, and of no function"));
  }
  for (const auto* const list : {&replacements_, &when_undone_}) {
    for (const Replacement& each : *list) {
      INSTAR_RETURN_IF_ERROR(each.function_.status());
    }
  }
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

void ReplaceMechanism::Find(const HeldThread& thread, bool is_own,
                            Direction direction) {
  // Of what waits because it has switched to a continulet nothing is replaced.
  StackSnapshot own = thread.stacks.front();
  own.switcher = nullptr;
  auto& list = direction == Direction::kUndo ? when_undone_ : replacements_;
  for (Replacement& each : list) {
    const ActivationSearch search =
        SearchActivation(own, *each.function_, options_);
    if (search.end == ActivationSearch::End::kNotActive) continue;
    const bool has_room = targets_.size() < targets_.capacity();
    const char* const reason = !has_room ? "it has just begun"
                               : is_own  ? FindOwnCallObstacle()
                                         : FindCallObstacle(thread);
    if (reason == nullptr && search.end == ActivationSearch::End::kFound) {
      targets_.push_back(Target{thread, &each, search.activation, own.bounds});
    } else if (obstacles_.size() < obstacles_.capacity()) {
      obstacles_.push_back(Obstacle{thread.thread, &each, reason, search});
    }
    return;
  }
}

Attempt ReplaceMechanism::Ready(const StoppedWorld& world,
                                Direction direction) {
  targets_.clear();
  obstacles_.clear();
  if (UpdateContext* const context = world.context()) {
    Find(HeldThread{context->thread(), false,
                    absl::MakeConstSpan(&context->stack(), 1)},
         /*is_own=*/true, direction);
  } else {
    for (const HeldThread& thread : world.threads()) {
      if (thread.thread.name() != thread_name_ || thread.stacks.empty()) {
        continue;
      }
      Find(thread, /*is_own=*/false, direction);
    }
  }
  return obstacles_.empty() ? Attempt::Done() : Attempt::NotYet("");
}

Attempt ReplaceMechanism::ReplaceAll(const StoppedWorld& world) {
  const bool is_own = world.context() != nullptr;
  for (Target& target : targets_) {
    Attempt attempt = Replace(target, is_own);
    if (attempt.is_done()) continue;
    Cancel(is_own);
    return attempt;
  }
  return Attempt::Done();
}

Attempt ReplaceMechanism::Replace(Target& target, bool is_own) {
  absl::StatusOr<Successor> made;
  absl::AnyInvocable<void()> take_over;
  const auto call_author = [&] {
    const AuthorsCode its_capture;  // and the state that it makes
    made = target.replacement->make_(target.activation, target.stack);
    if (made.ok()) {
      take_over = [activation = target.activation, successor = *made] {
        UnwindAndEnter(activation, successor);
      };
    }
  };
  if (is_own) {
    call_author();
  } else {
    const stack_internal::ScopedExposedValues scope(ExposedBy(target.thread));
    call_author();
  }
  if (!made.ok()) {
    const AuthorsCode its_error;
    const absl::Status error = std::exchange(made, Successor()).status();
    return absl::IsNotFound(error)
               ? Attempt::NotYet(std::string(error.message()))
               : Attempt::Failed(error);
  }
  if (is_own) {
    SetOwnCall(std::move(take_over));
  } else if (!SetHeldCall(target.thread, take_over)) {
    // `capture` was given up.
    const AuthorsCode its_state;
    take_over = nullptr;
    made->drop(made->state);
    return Attempt::Failed(absl::AbortedError("the threads have gone on"));
  }
  target.successor = *made;
  return Attempt::Done();
}

void ReplaceMechanism::Cancel(bool is_own) {
  for (Target& target : targets_) {
    if (target.successor.enter == nullptr) continue;
    absl::AnyInvocable<void()> take_over =
        is_own ? CancelOwnCall() : CancelHeldCall(target.thread);
    const AuthorsCode its_state;
    if (take_over) target.successor.drop(target.successor.state);
    take_over = nullptr;
    target.successor = {};
  }
}

std::vector<Blocker> ReplaceMechanism::Blockers() const {
  std::vector<Blocker> blockers;
  for (const Obstacle& obstacle : obstacles_) {
    const Function& function = *obstacle.replacement->function_;
    Blocker& blocker = blockers.emplace_back();
    blocker.thread = obstacle.thread.name();
    blocker.tid = obstacle.thread.tid();
    blocker.function = function.name();
    if (obstacle.reason != nullptr) {
      blocker.reason = absl::StrCat(function.name(), " is active there, and ",
                                    obstacle.reason);
      blocker.remedy = "an UpdatePoint() in what it calls";
    } else {
      blocker.reason =
          std::string(Explain(obstacle.search, function).message());
    }
  }
  return blockers;
}

}  // namespace updates_internal

std::shared_ptr<Mechanism> ReplaceWhenHeld(
    std::string thread_name, std::vector<Replacement> replacements,
    std::vector<Replacement> when_undone,
    const ReplaceActivationOptions& options) {
  return std::make_shared<updates_internal::ReplaceMechanism>(
      std::move(thread_name), std::move(replacements), std::move(when_undone),
      options);
}

}  // namespace instar
