// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/thread_updates.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "updates/internal/thread_schedule.h"

namespace instar {

using updates_internal::ThreadSchedule;

struct ThreadUpdates::State {
  std::string name;
  std::vector<ThreadSchedule::Part> parts;
  int stages = 1;
  std::vector<std::function<Attempt()>> requirements;
};

ThreadUpdates::ThreadUpdates(std::string name)
    : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
}
ThreadUpdates::ThreadUpdates(ThreadUpdates&&) noexcept = default;
ThreadUpdates& ThreadUpdates::operator=(ThreadUpdates&&) noexcept = default;
ThreadUpdates::~ThreadUpdates() = default;

const std::string& ThreadUpdates::name() const { return state_->name; }

void ThreadUpdates::Add(std::string thread_name,
                        std::shared_ptr<Mechanism> mechanism,
                        ChangeOptions options, UpdateOptions where) {
  where.interrupt_blocking_calls |=
      mechanism->traits().interrupts_blocking_calls;
  auto change =
      std::make_shared<Change>(std::move(mechanism), std::move(options));
  UpdateFunction undo = change->UndoFunction();
  std::string what = change->name();
  UpdateFunction function(*change);
  SetPart(std::move(thread_name), std::move(what), std::move(change),
          std::move(function), std::move(undo), std::move(where));
}

void ThreadUpdates::SetUpdateFunction(std::string thread_name,
                                      UpdateFunction function,
                                      UpdateOptions options) {
  SetPart(std::move(thread_name), "update function", nullptr,
          std::move(function), nullptr, std::move(options));
}

void ThreadUpdates::SetUpdateFunction(std::string thread_name,
                                      UpdateFunction function,
                                      UpdateFunction undo,
                                      UpdateOptions options) {
  SetPart(std::move(thread_name), "update function", nullptr,
          std::move(function), std::move(undo), std::move(options));
}

void ThreadUpdates::SetPart(std::string thread_name, std::string what,
                            std::shared_ptr<Change> change,
                            UpdateFunction function, UpdateFunction undo,
                            UpdateOptions options) {
  INSTAR_CHECK(!thread_name.empty())
      << "an update function is set for a thread with a name";
  INSTAR_CHECK(function != nullptr)
      << "the update function of thread '" << thread_name << "' is empty";
  ThreadSchedule::Part& part = state_->parts.emplace_back();
  part.thread_name = std::move(thread_name);
  part.what = std::move(what);
  part.stage = state_->stages - 1;
  part.change = std::move(change);
  part.function = std::make_shared<ThreadSchedule::Shared>(std::move(function));
  if (undo != nullptr) {
    part.undo = std::make_shared<ThreadSchedule::Shared>(std::move(undo));
  }
  part.options = std::move(options);
}

void ThreadUpdates::Start(std::shared_ptr<Mechanism> mechanism,
                          ChangeOptions options) {
  ThreadSchedule::Part& part = state_->parts.emplace_back();
  part.change =
      std::make_shared<Change>(std::move(mechanism), std::move(options));
  part.what = part.change->name();
  part.stage = state_->stages - 1;
}

void ThreadUpdates::Then() { ++state_->stages; }

void ThreadUpdates::When(std::function<Attempt()> requirement) {
  INSTAR_CHECK(requirement != nullptr) << "a requirement is a function";
  state_->requirements.push_back(std::move(requirement));
}

std::unique_ptr<Update> MakeUpdate(ThreadUpdates threads) {
  ThreadUpdates::State& state = *threads.state_;
  return std::make_unique<ThreadSchedule>(std::move(state.name),
                                          std::move(state.parts), state.stages,
                                          std::move(state.requirements));
}

}  // namespace instar
