// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/background_work.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace instar {
namespace updates_internal {
namespace {

struct Steps {
  std::mutex lock;
  std::vector<std::shared_ptr<ConversionStep>> steps;
};

Steps& AllSteps() {
  static Steps* const steps = new Steps;  // used by updates that outlive main()
  return *steps;
}

// Held by whoever has paused: two that pause and resume by turns would resume
// what the other wants paused.
std::mutex& PauseLock() {
  static std::mutex* const lock = new std::mutex;
  return *lock;
}

}  // namespace

void AddBackgroundWork(std::shared_ptr<ConversionStep> step) {
  std::lock_guard<std::mutex> lock(AllSteps().lock);
  AllSteps().steps.push_back(std::move(step));
}

void RemoveBackgroundWork(const ConversionStep* step) {
  std::shared_ptr<ConversionStep> removed;  // goes when the lock is free
  std::lock_guard<std::mutex> lock(AllSteps().lock);
  auto& steps = AllSteps().steps;
  const auto found =
      std::find_if(steps.begin(), steps.end(),
                   [step](const auto& other) { return other.get() == step; });
  if (found == steps.end()) return;
  removed = std::move(*found);
  steps.erase(found);
}

BackgroundPause::BackgroundPause()
    : BackgroundPause(std::unique_lock<std::mutex>(PauseLock())) {}

std::optional<BackgroundPause> BackgroundPause::Try() {
  std::unique_lock<std::mutex> lock(PauseLock(), std::try_to_lock);
  if (!lock.owns_lock()) return std::nullopt;
  return BackgroundPause(std::move(lock));
}

BackgroundPause::BackgroundPause(std::unique_lock<std::mutex> lock)
    : lock_(std::move(lock)) {
  {
    std::lock_guard<std::mutex> list_lock(AllSteps().lock);
    paused_ = AllSteps().steps;
  }
  for (const auto& step : paused_) step->PauseBackground();
}

BackgroundPause::BackgroundPause(BackgroundPause&& other) noexcept
    : lock_(std::move(other.lock_)), paused_(std::move(other.paused_)) {
  other.paused_.clear();
}

BackgroundPause::~BackgroundPause() {
  for (const auto& step : paused_) step->ResumeBackground();
}

}  // namespace updates_internal
}  // namespace instar
