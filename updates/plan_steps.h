// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The steps that UpdatePlan makes. Internal to this package.

#ifndef INSTAR_UPDATES_PLAN_STEPS_H_
#define INSTAR_UPDATES_PLAN_STEPS_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <typeinfo>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "code/function_entry.h"
#include "heap/conversion.h"
#include "threads/parked_thread.h"
#include "threads/thread_state.h"
#include "updates/class_watch.h"
#include "updates/plan_step.h"
#include "updates/reboot_targets.h"
#include "updates/redefinitions.h"
#include "updates/update_plan.h"

namespace instar {
namespace updates_internal {

// All redefinitions of a plan.
class RedefinitionStep final : public PlanStep {
 public:
  Redefinitions& redefinitions() { return redefinitions_; }
  void IgnoreInlinedCopies() { options_.ignore_inlined_copies = true; }

  std::string name() const override;
  absl::Status Prepare(UpdateForecast& forecast) override;
  absl::StatusOr<std::vector<Function>> QuiescentFunctions() override;
  absl::Status Stage() override { return prepared_->Stage(); }
  absl::Status Apply() override;
  absl::Status Undo() override;
  void Settle() override { prepared_->Settle(); }

 private:
  Redefinitions redefinitions_;
  RedirectionOptions options_;
  std::optional<PreparedRedefinitions> prepared_;  // when prepared
};

// One class.
class ConversionPlanStep final : public PlanStep {
 public:
  ConversionPlanStep(std::unique_ptr<ConversionStep> step,
                     std::shared_ptr<ClassWatch> watch,
                     std::shared_ptr<std::atomic<std::size_t>> converted);
  ~ConversionPlanStep() override;

  std::string name() const override;
  absl::Status Prepare(UpdateForecast& forecast) override;
  absl::StatusOr<WatchedSet> QuiescentCode(bool thorough) override;
  absl::Status Apply() override;
  absl::Status Undo() override;

  void Released() override;

  // "Product -> ProductV2, eagerly"
  std::string change() const { return step_->name(); }
  void WatchBy(ConversionWatch* watch) const { step_->WatchBy(watch); }

  // For UpdateProgress. At any time, by any thread.
  std::size_t converted() const;
  std::size_t total() const { return total_.load(std::memory_order_relaxed); }
  bool is_converting() const { return !step_->Done(); }

 private:
  const std::shared_ptr<ConversionStep> step_;
  // The functions that use an object of the class, in whichever version.
  const std::shared_ptr<ClassWatch> watch_;
  // What an eager conversion has done; null for the others.
  const std::shared_ptr<std::atomic<std::size_t>> converted_;
  std::atomic<std::size_t> total_{0};
  bool is_applied_ = false;
};

class RebootStep final : public PlanStep {
 public:
  RebootStep(std::string thread_name, ThreadMain new_main,
             ThreadMain main_when_undone);

  const std::string& thread_name() const { return thread_name_; }
  std::string name() const override;
  absl::Status Prepare(UpdateForecast& forecast) override;
  void BeforeAttempt() override;
  Attempt Ready(absl::Span<const HeldThread> threads) override;
  Attempt ReadyToUndo(absl::Span<const HeldThread> threads) override;
  std::vector<Blocker> Blockers() const override;
  bool EndsFunctionOf(const ThreadRef& thread) const override;
  absl::Status Apply() override;
  absl::Status Undo() override;
  absl::Status CanUndo() const override;
  absl::Status CancelApply() override;
  absl::Status CancelUndo() override;
  void Released() override;

 private:
  Attempt Find(absl::Span<const HeldThread> threads, const ThreadMain& main);
  std::string NoSuchThread() const;

  const std::string thread_name_;
  const ThreadMain new_main_;
  const ThreadMain main_when_undone_;
  RebootTargets targets_;
  bool no_thread_ = false;
};

class StartStep final : public PlanStep {
 public:
  StartStep(std::string thread_name, ThreadKind kind,
            std::function<void()> main);

  std::string name() const override;
  absl::Status Prepare(UpdateForecast& forecast) override;
  void BeforeAttempt() override;
  Attempt ReadyToUndo(absl::Span<const HeldThread> threads) override;
  std::vector<Blocker> Blockers() const override;
  bool EndsFunctionOf(const ThreadRef& thread) const override;
  absl::Status Apply() override;
  absl::Status Undo() override;
  absl::Status CancelApply() override;
  absl::Status CancelUndo() override;
  void Released() override;
  std::vector<ThreadRef> StartedThreads() const override;

 private:
  const std::string thread_name_;
  const ThreadKind kind_;
  const std::function<void()> main_;
  std::optional<ParkedThread> parked_;  // when prepared
  bool starts_ = false;                 // at the release
  bool ends_ = false;                   // at the release
  std::optional<ThreadRef> started_;
  const ThreadMain nothing_{[] {}};  // what it runs when it has ended
  RebootTargets targets_;
};

class HookStep final : public PlanStep {
 public:
  HookStep(std::string name, UpdatePlan::Hook hook, UpdatePlan::Hook undo);

  std::string name() const override { return name_; }
  absl::Status Prepare(UpdateForecast& forecast) override;
  absl::Status Apply() override { return hook_(); }
  absl::Status Undo() override;
  absl::Status CanUndo() const override;
  absl::Status CancelApply() override;
  bool CancelsApply() const override { return undo_ != nullptr; }

 private:
  const std::string name_;
  const UpdatePlan::Hook hook_;
  const UpdatePlan::Hook undo_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_PLAN_STEPS_H_
