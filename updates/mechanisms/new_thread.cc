// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/new_thread.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "threads/held_reboot.h"
#include "threads/known_names.h"
#include "threads/parked_thread.h"
#include "updates/mechanisms/internal/attempt_of_author.h"
#include "updates/mechanisms/internal/reboot_targets.h"
#include "updates/mechanisms/thread_main.h"

namespace instar {
namespace {

class StartMechanism final : public Mechanism {
 public:
  StartMechanism(std::string thread_name, ThreadKind kind,
                 std::function<void()> main)
      : thread_name_(std::move(thread_name)),
        kind_(kind),
        main_(std::move(main)) {}

  std::string name() const override {
    return absl::StrCat("start ", ToString(kind_), " thread '", thread_name_,
                        "'");
  }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kQuestions};
  }
  PointAllows NeedsOf(const ThreadRef& thread) const noexcept override {
    return started_.has_value() && thread == *started_ ? PointAllows::kReboot
                                                       : PointAllows::kHold;
  }

  absl::Status Prepare(UpdateForecast&) override;
  std::vector<std::string> LostByUndo() const override {
    return {
        "what it has in local variables: its stack is unwound, and it ends"};
  }
  absl::Status BeforeStop() override {
    targets_.MakeRoom(StartedThreads());
    return absl::OkStatus();
  }
  Attempt Ready(const StoppedWorld& world, Direction direction) override;
  std::uintptr_t UnwindsUpTo(const ThreadRef& thread) const override {
    return targets_.UnwindsUpTo(thread);
  }
  // It starts when the threads go on.
  Attempt Apply(const StoppedWorld&) override { return Attempt::Done(); }
  Attempt Undo(const StoppedWorld&) override {
    targets_.Begin();
    return Attempt::Done();
  }
  Attempt RollBack(const StoppedWorld&, Direction direction) override {
    if (direction == Direction::kUndo) targets_.Cancel();
    return Attempt::Done();
  }
  void AfterStop(AttemptResult result) override;
  std::vector<Blocker> Blockers() const override { return targets_.Blockers(); }
  std::vector<ThreadRef> StartedThreads() const override {
    if (!started_.has_value()) return {};
    return {*started_};
  }

 private:
  const std::string thread_name_;
  const ThreadKind kind_;
  const std::function<void()> main_;
  std::optional<ParkedThread> parked_;  // when prepared
  std::optional<ThreadRef> started_;
  const ThreadMain nothing_{[] {}};  // what it runs when it has ended
  RebootTargets targets_;
};

absl::Status StartMechanism::Prepare(UpdateForecast&) {
  if (main_ == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "thread '", thread_name_, "' is to run a function that is empty"));
  }
  // Others may name it before it runs.
  threads_internal::NoteThread(thread_name_);
  PrepareToFindRebootObstacles();  // when it is undone
  if (parked_.has_value()) return absl::OkStatus();
  INSTAR_ASSIGN_OR_RETURN(parked_,
                          ParkedThread::Make(thread_name_, kind_, main_));
  return absl::OkStatus();
}

Attempt StartMechanism::Ready(const StoppedWorld& world, Direction direction) {
  if (direction != Direction::kUndo) return Attempt::Done();
  return targets_.Find(
      world.threads(),
      [this](const ThreadRef& thread) { return thread == *started_; },
      nothing_);
}

void StartMechanism::AfterStop(AttemptResult result) {
  if (result == AttemptResult::kApplied) {
    started_ = parked_->Start();
    parked_.reset();
  }
  if (result == AttemptResult::kUndone) {
    targets_.Released();
    started_.reset();
  }
}

}  // namespace

std::shared_ptr<Mechanism> NewThread(std::string name, ThreadKind kind,
                                     std::function<void()> main) {
  return std::make_shared<StartMechanism>(std::move(name), kind,
                                          std::move(main));
}

}  // namespace instar
