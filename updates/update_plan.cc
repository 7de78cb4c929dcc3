// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/update_plan.h"

#include <map>
#include <vector>

#include "base/check.h"
#include "updates/internal/plan_schedule.h"
#include "updates/mechanisms/redefine.h"

namespace instar {

using updates_internal::PlanSchedule;

struct UpdatePlan::State {
  std::string name;
  std::vector<std::shared_ptr<Mechanism>> before, mechanisms, after;
  // Of the one that has all redefinitions, if there are any.
  std::shared_ptr<Redefinitions> redefinitions;
  const std::shared_ptr<RedefineOptions> redefine_options =
      std::make_shared<RedefineOptions>();
  std::vector<std::function<Attempt()>> requirements;
  std::string point;
  std::map<std::string, std::string> points;  // of threads of these names
  bool only_registered = false;
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
    state_->redefinitions = std::make_shared<Redefinitions>();
    Add(updates_internal::RedefineAll(state_->redefinitions,
                                      state_->redefine_options));
  }
  return *state_->redefinitions;
}

void UpdatePlan::IgnoreInlinedCopies() {
  state_->redefine_options->ignore_inlined_copies = true;
}

void UpdatePlan::Before(Hook hook, Hook undo) {
  state_->before.push_back(
      MakeHook("hook before the update", std::move(hook), std::move(undo)));
}

void UpdatePlan::After(Hook hook, Hook undo) {
  state_->after.push_back(
      MakeHook("hook after the update", std::move(hook), std::move(undo)));
}

void UpdatePlan::When(std::function<Attempt()> requirement) {
  INSTAR_CHECK(requirement != nullptr) << "a requirement is a function";
  state_->requirements.push_back(std::move(requirement));
}

void UpdatePlan::AtUpdatePoint(std::string point) {
  state_->point = std::move(point);
}

void UpdatePlan::AtUpdatePoint(std::string point,
                               const std::string& thread_name) {
  INSTAR_CHECK(!point.empty() && !thread_name.empty())
      << "an update point and a thread have names";
  state_->points[thread_name] = std::move(point);
}

void UpdatePlan::OnlyRegisteredThreads() { state_->only_registered = true; }

void UpdatePlan::Add(std::shared_ptr<Mechanism> mechanism) {
  INSTAR_CHECK(mechanism != nullptr) << "a mechanism is an object";
  state_->mechanisms.push_back(std::move(mechanism));
}

std::unique_ptr<Update> MakeUpdate(UpdatePlan plan) {
  UpdatePlan::State& state = *plan.state_;
  PlanSchedule::Parts parts;
  parts.name = std::move(state.name);
  for (auto* const part : {&state.before, &state.mechanisms, &state.after}) {
    for (std::shared_ptr<Mechanism>& mechanism : *part) {
      parts.mechanisms.push_back(std::move(mechanism));
    }
  }
  parts.requirements = std::move(state.requirements);
  parts.only_registered = state.only_registered || !state.point.empty();
  parts.point = std::move(state.point);
  parts.points = std::move(state.points);
  return std::make_unique<PlanSchedule>(std::move(parts));
}

}  // namespace instar
