// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/update_plan.h"

#include <utility>

#include "base/check.h"
#include "threads/thread_state.h"
#include "updates/plan_steps.h"
#include "updates/planned_update.h"

namespace instar {

using updates_internal::ConversionPlanStep;
using updates_internal::HookStep;
using updates_internal::PlannedUpdate;
using updates_internal::RebootStep;
using updates_internal::RedefinitionStep;
using updates_internal::StartStep;

struct UpdatePlan::State {
  std::string name;
  std::vector<std::unique_ptr<PlanStep>> before, steps, after;
  RedefinitionStep* redefinitions = nullptr;  // one of `steps`
  bool ignore_inlined_copies = false;
  std::vector<const ConversionPlanStep*> conversions;  // of `steps`
  std::vector<std::function<Attempt()>> requirements;
  std::string point;
};

UpdatePlan::UpdatePlan(std::string name) : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
}
UpdatePlan::UpdatePlan(UpdatePlan&&) noexcept = default;
UpdatePlan& UpdatePlan::operator=(UpdatePlan&&) noexcept = default;
UpdatePlan::~UpdatePlan() = default;

const std::string& UpdatePlan::name() const { return state_->name; }

Redefinitions& UpdatePlan::redefinitions() {
  if (state_->redefinitions == nullptr) {
    auto step = std::make_unique<RedefinitionStep>();
    state_->redefinitions = step.get();
    state_->steps.push_back(std::move(step));
  }
  return state_->redefinitions->redefinitions();
}

void UpdatePlan::IgnoreInlinedCopies() { state_->ignore_inlined_copies = true; }

void UpdatePlan::AddConversion(std::unique_ptr<ConversionStep> step,
                               Watch watch, Counter converted) {
  auto made = std::make_unique<ConversionPlanStep>(
      std::move(step), std::move(watch), std::move(converted));
  state_->conversions.push_back(made.get());
  state_->steps.push_back(std::move(made));
}

ConversionOptions UpdatePlan::Counted(ConversionOptions options,
                                      Counter converted) {
  options.progress = [own = std::move(options.progress),
                      converted = std::move(converted)](std::size_t done) {
    converted->store(done, std::memory_order_relaxed);
    if (own != nullptr) own(done);
  };
  return options;
}

void UpdatePlan::Reboot(std::string thread_name, ThreadMain new_main,
                        ThreadMain main_when_undone) {
  state_->steps.push_back(
      std::make_unique<RebootStep>(std::move(thread_name), std::move(new_main),
                                   std::move(main_when_undone)));
}

void UpdatePlan::StartActiveThread(std::string name,
                                   std::function<void()> main) {
  state_->steps.push_back(std::make_unique<StartStep>(
      std::move(name), ThreadKind::kActive, std::move(main)));
}

void UpdatePlan::StartPassiveThread(std::string name,
                                    std::function<void()> main) {
  state_->steps.push_back(std::make_unique<StartStep>(
      std::move(name), ThreadKind::kPassive, std::move(main)));
}

void UpdatePlan::Before(Hook hook, Hook undo) {
  state_->before.push_back(std::make_unique<HookStep>(
      "hook before the update", std::move(hook), std::move(undo)));
}

void UpdatePlan::After(Hook hook, Hook undo) {
  state_->after.push_back(std::make_unique<HookStep>(
      "hook after the update", std::move(hook), std::move(undo)));
}

void UpdatePlan::When(std::function<Attempt()> requirement) {
  INSTAR_CHECK(requirement != nullptr) << "a requirement is a function";
  state_->requirements.push_back(std::move(requirement));
}

void UpdatePlan::AtUpdatePoint(std::string point) {
  state_->point = std::move(point);
}

void UpdatePlan::Add(std::unique_ptr<PlanStep> step) {
  INSTAR_CHECK(step != nullptr) << "a step is an object";
  state_->steps.push_back(std::move(step));
}

std::unique_ptr<Update> MakeUpdate(UpdatePlan plan) {
  UpdatePlan::State& state = *plan.state_;
  if (state.redefinitions != nullptr && state.ignore_inlined_copies) {
    state.redefinitions->IgnoreInlinedCopies();
  }
  PlannedUpdate::Parts parts;
  parts.name = std::move(state.name);
  for (auto* const part : {&state.before, &state.steps, &state.after}) {
    for (std::unique_ptr<PlanStep>& step : *part) {
      parts.steps.push_back(std::move(step));
    }
  }
  parts.requirements = std::move(state.requirements);
  parts.point = std::move(state.point);
  parts.conversions = std::move(state.conversions);
  return std::make_unique<PlannedUpdate>(std::move(parts));
}

}  // namespace instar
