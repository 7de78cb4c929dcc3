// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/internal/background_work.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fork_mutex.h"

namespace instar {
namespace updates_internal {
namespace {

// Used by updates that outlive main(). In a child their threads are not there,
// so that nothing is amiss if the list is lost in fork(): a conversion that
// goes on in the child was started, and added, there.
ForkGuarded<std::vector<std::shared_ptr<ConversionStep>>> g_steps;

// Held by whoever has paused: two that pause and resume by turns would resume
// what the other wants paused.
ForkMutex g_pause;
constexpr std::chrono::microseconds kTryAgain(200);
constexpr char kAnotherHasPaused[] =
    "another thread holds threads for an update";

}  // namespace

void AddBackgroundWork(std::shared_ptr<ConversionStep> step) {
  g_steps.Lock()->push_back(std::move(step));
}

void RemoveBackgroundWork(const ConversionStep* step) {
  std::shared_ptr<ConversionStep> removed;  // goes when the lock is free
  const auto steps_lock = g_steps.Lock();
  auto& steps = *steps_lock;
  const auto found =
      std::find_if(steps.begin(), steps.end(),
                   [step](const auto& other) { return other.get() == step; });
  if (found == steps.end()) return;
  removed = std::move(*found);
  steps.erase(found);
}

std::optional<BackgroundPause> BackgroundPause::Until(Clock::time_point until,
                                                      std::string* why_not) {
  const Clock::time_point begin = Clock::now();
  std::unique_lock<ForkMutex> lock(g_pause, std::try_to_lock);
  while (!lock.owns_lock()) {
    if (Clock::now() >= until) {
      *why_not = kAnotherHasPaused;
      return std::nullopt;
    }
    std::this_thread::sleep_for(kTryAgain);
    static_cast<void>(lock.try_lock());
  }
  return Make(std::move(lock), until + (Clock::now() - begin), why_not);
}

std::optional<BackgroundPause> BackgroundPause::Try(Clock::time_point until,
                                                    std::string* why_not) {
  std::unique_lock<ForkMutex> lock(g_pause, std::try_to_lock);
  if (!lock.owns_lock()) {
    *why_not = kAnotherHasPaused;
    return std::nullopt;
  }
  return Make(std::move(lock), until, why_not);
}

std::optional<BackgroundPause> BackgroundPause::Make(
    std::unique_lock<ForkMutex> lock, Clock::time_point until,
    std::string* why_not) {
  BackgroundPause pause(std::move(lock));
  std::vector<std::shared_ptr<ConversionStep>> steps = *g_steps.Lock();
  for (auto& step : steps) {
    if (!step->TryPauseBackground(until)) {
      *why_not = absl::StrCat("the conversion ", step->name(),
                              ", which goes on in the background, is in a "
                              "Convert() that does not return");
      return std::nullopt;
    }
    pause.paused_.push_back(std::move(step));
  }
  return pause;
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
