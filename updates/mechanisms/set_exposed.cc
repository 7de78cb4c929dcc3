// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/set_exposed.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/no_allocation.h"
#include "threads/internal/held_call.h"
#include "threads/known_names.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"

namespace instar {
namespace updates_internal {
namespace {

class SetExposedMechanism final : public Mechanism {
 public:
  SetExposedMechanism(std::string thread_name, std::string variable,
                      std::unique_ptr<const ExposedType> type)
      : thread_name_(std::move(thread_name)),
        variable_(std::move(variable)),
        type_(std::move(type)) {}

  std::string name() const override {
    return absl::StrCat("set '", variable_, "' of thread '", thread_name_, "'");
  }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kQuestions, Stacks::kControlledThreads,
            thread_name_};
  }

  absl::Status Prepare(UpdateForecast& forecast) override;
  std::vector<std::string> LostByUndo() const override {
    return {"what the program has written to it since"};
  }
  absl::Status BeforeStop() override {
    targets_.clear();
    obstacles_.clear();
    return absl::OkStatus();
  }
  Attempt Ready(const StoppedWorld& world, Direction direction) override;
  Attempt Apply(const StoppedWorld&) override {
    return Change(Direction::kApply);
  }
  Attempt Undo(const StoppedWorld&) override {
    return Change(Direction::kUndo);
  }
  Attempt RollBack(const StoppedWorld&, Direction) override {
    const AuthorsCode its_types;
    SwapAll();
    return Attempt::Done();
  }
  void AfterStop(AttemptResult result) override;
  std::vector<Blocker> Blockers() const override;

 private:
  struct Value {
    ThreadRef thread;
    void* variable;               // while the thread is held
    std::shared_ptr<void> other;  // that it is to have, and then had
  };
  struct Obstacle {
    ThreadRef thread;
    std::string reason;
  };

  // An error that is final.
  absl::Status Find(const ThreadRef& thread, Direction direction);
  Attempt Change(Direction direction);
  void SwapAll();
  const Value* KeptOf(const ThreadRef& thread) const {
    const auto found = std::find_if(
        kept_.begin(), kept_.end(),
        [&](const Value& value) { return value.thread == thread; });
    return found == kept_.end() ? nullptr : &*found;
  }
  void Forget(const ThreadRef& thread) {
    kept_.erase(std::remove_if(
                    kept_.begin(), kept_.end(),
                    [&](const Value& value) { return value.thread == thread; }),
                kept_.end());
  }

  const std::string thread_name_;
  const std::string variable_;
  const std::unique_ptr<const ExposedType> type_;
  std::vector<Value> kept_;  // what was before it was applied
  // Of this attempt.
  std::vector<Value> targets_;
  std::vector<Obstacle> obstacles_;
  std::vector<ThreadRef> asked_;
};

absl::Status SetExposedMechanism::Prepare(UpdateForecast& forecast) {
  const absl::Status known = threads_internal::CheckThreadName(thread_name_);
  if (known.ok() && ControlledThreads(thread_name_).empty()) {
    forecast.obstacles.push_back(
        absl::StrCat("there is no controlled thread '", thread_name_, "'"));
  }
  return known;
}

absl::Status SetExposedMechanism::Find(const ThreadRef& thread,
                                       Direction direction) {
  asked_.push_back(thread);
  const bool undoes = direction == Direction::kUndo;
  if (undoes && KeptOf(thread) == nullptr) return absl::OkStatus();
  const absl::StatusOr<void*> found = type_->Find(variable_);
  if (absl::IsNotFound(found.status())) {
    if (!undoes) {
      obstacles_.push_back({thread, std::string(found.status().message())});
    }
    return absl::OkStatus();
  }
  if (!found.ok()) return found.status();
  targets_.push_back(Value{thread, *found, nullptr});
  return absl::OkStatus();
}

Attempt SetExposedMechanism::Ready(const StoppedWorld& world,
                                   Direction direction) {
  const AuthorsCode its_types;
  targets_.clear();
  obstacles_.clear();
  asked_.clear();
  absl::Status status;
  if (UpdateContext* const context = world.context()) {
    status = Find(context->thread(), direction);
  } else {
    for (const HeldThread& thread : world.threads()) {
      if (thread.thread.name() != thread_name_ || thread.stacks.empty()) {
        continue;
      }
      const stack_internal::ScopedExposedValues scope(ExposedBy(thread));
      status.Update(Find(thread.thread, direction));
    }
  }
  if (!status.ok()) return Attempt::Failed(status);
  // A check asks for one thread after the other.
  const bool has_none = direction == Direction::kApply && asked_.empty();
  return obstacles_.empty() && !has_none ? Attempt::Done()
                                         : Attempt::NotYet("");
}

Attempt SetExposedMechanism::Change(Direction direction) {
  const AuthorsCode its_types;
  for (Value& target : targets_) {
    target.other = direction == Direction::kApply
                       ? type_->MakeNew()
                       : type_->Copy(KeptOf(target.thread)->other.get());
  }
  SwapAll();
  return Attempt::Done();
}

void SetExposedMechanism::SwapAll() {
  for (const Value& target : targets_) {
    type_->Swap(target.variable, target.other.get());
  }
}

void SetExposedMechanism::AfterStop(AttemptResult result) {
  if (TookEffect(result)) {
    for (const ThreadRef& thread : asked_) Forget(thread);
    if (result == AttemptResult::kApplied) {
      for (Value& target : targets_) kept_.push_back(std::move(target));
    }
  }
  targets_.clear();
}

std::vector<Blocker> SetExposedMechanism::Blockers() const {
  std::vector<Blocker> blockers;
  for (const Obstacle& obstacle : obstacles_) {
    Blocker& blocker = blockers.emplace_back();
    blocker.thread = obstacle.thread.name();
    blocker.tid = obstacle.thread.tid();
    blocker.reason = obstacle.reason;
    blocker.remedy = "wait until the function that exposes it has begun";
  }
  if (blockers.empty() && asked_.empty()) {
    blockers.emplace_back().reason =
        absl::StrCat("no controlled thread '", thread_name_,
                     "' is among those that the update may hold");
  }
  return blockers;
}

}  // namespace

std::shared_ptr<Mechanism> MakeSetExposed(
    std::string thread_name, std::string variable,
    std::unique_ptr<const ExposedType> type) {
  return std::make_shared<SetExposedMechanism>(
      std::move(thread_name), std::move(variable), std::move(type));
}

}  // namespace updates_internal
}  // namespace instar
