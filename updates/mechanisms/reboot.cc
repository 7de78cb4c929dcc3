// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/reboot.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/similar_names.h"
#include "base/status_macros.h"
#include "threads/held_reboot.h"
#include "threads/known_names.h"
#include "updates/mechanisms/internal/reboot_targets.h"

namespace instar {
namespace {

class RebootMechanism final : public Mechanism {
 public:
  RebootMechanism(std::string thread_name, ThreadMain new_main,
                  ThreadMain main_when_undone)
      : thread_name_(std::move(thread_name)),
        new_main_(std::move(new_main)),
        main_when_undone_(std::move(main_when_undone)) {}

  std::string name() const override {
    return absl::StrCat("reboot thread '", thread_name_, "'");
  }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kQuestions, Stacks::kControlledThreads, thread_name_,
            /*interrupts_blocking_calls=*/true};
  }
  PointAllows NeedsOf(const ThreadRef& thread) const noexcept override {
    return thread.name() == thread_name_ ? PointAllows::kReboot
                                         : PointAllows::kHold;
  }

  absl::Status Prepare(UpdateForecast& forecast) override;
  absl::Status CanUndo() const override;
  std::vector<std::string> LostByUndo() const override {
    return {
        "what its new function has in local variables: it is rebooted once "
        "more, and begins anew what it runs when the update is undone"};
  }
  absl::Status BeforeStop() override {
    targets_.MakeRoom(ControlledThreads(thread_name_));
    return absl::OkStatus();
  }
  Attempt Ready(const StoppedWorld& world, Direction direction) override;
  std::uintptr_t UnwindsUpTo(const ThreadRef& thread) const override {
    return targets_.UnwindsUpTo(thread);
  }
  Attempt Apply(const StoppedWorld& world) override {
    return RebootAll(world, new_main_);
  }
  Attempt Undo(const StoppedWorld& world) override {
    return RebootAll(world, main_when_undone_);
  }
  Attempt RollBack(const StoppedWorld&, Direction) override {
    targets_.Cancel();
    return Attempt::Done();
  }
  void AfterStop(AttemptResult result) override {
    if (TookEffect(result)) targets_.Released();
  }
  std::vector<Blocker> Blockers() const override;

 private:
  Attempt RebootAll(const StoppedWorld& world, const ThreadMain& main) {
    // In an update function of that thread.
    if (UpdateContext* const context = world.context()) {
      return RebootTargets::RebootHere(*context, main);
    }
    targets_.Begin();
    return Attempt::Done();
  }
  std::string NoSuchThread() const;

  const std::string thread_name_;
  const ThreadMain new_main_;
  const ThreadMain main_when_undone_;
  RebootTargets targets_;
  bool no_thread_ = false;
};

std::string RebootMechanism::NoSuchThread() const {
  if (!ControlledThreads(thread_name_).empty()) {
    return absl::StrCat("thread '", thread_name_,
                        "' is not among those that the update may hold: "
                        "register it with the manager");
  }
  std::vector<std::string> names;
  for (const ThreadRef& thread : ControlledThreads()) {
    names.push_back(thread.name());
  }
  return absl::StrCat("there is no controlled thread '", thread_name_, "'",
                      SimilarNamesText(thread_name_, names));
}

absl::Status RebootMechanism::Prepare(UpdateForecast& forecast) {
  if (!new_main_) {
    return absl::InvalidArgumentError(
        absl::StrCat("thread '", thread_name_,
                     "' is to be rebooted into a function that is empty"));
  }
  INSTAR_RETURN_IF_ERROR(threads_internal::CheckThreadName(thread_name_));
  PrepareToFindRebootObstacles();
  if (ControlledThreads(thread_name_).empty()) {
    forecast.obstacles.push_back(NoSuchThread());
  }
  return absl::OkStatus();
}

absl::Status RebootMechanism::CanUndo() const {
  if (main_when_undone_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("thread '", thread_name_,
                   "' is rebooted, and the update does not say what it runs "
                   "when that is undone"));
}

Attempt RebootMechanism::Ready(const StoppedWorld& world, Direction direction) {
  if (world.context() != nullptr) return Attempt::Done();
  Attempt found = targets_.Find(
      world.threads(),
      [this](const ThreadRef& thread) { return thread.name() == thread_name_; },
      direction == Direction::kUndo ? main_when_undone_ : new_main_);
  // When it is undone, one that has ended runs nothing of the new version. A
  // check asks for one thread after the other.
  no_thread_ =
      direction == Direction::kApply && found.is_done() && targets_.size() == 0;
  return no_thread_ ? Attempt::NotYet("") : found;  // Blockers() say it
}

std::vector<Blocker> RebootMechanism::Blockers() const {
  if (!no_thread_) return targets_.Blockers();
  Blocker blocker;
  blocker.reason = NoSuchThread();
  return {blocker};
}

}  // namespace

std::shared_ptr<Mechanism> Reboot(std::string thread_name, ThreadMain new_main,
                                  ThreadMain main_when_undone) {
  return std::make_shared<RebootMechanism>(
      std::move(thread_name), std::move(new_main), std::move(main_when_undone));
}

}  // namespace instar
