// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/change.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fork_mutex.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "threads/blocking_region.h"
#include "updates/internal/change_state.h"
#include "updates/quiescence/internal/pacing.h"

namespace instar {

using updates_internal::Pauses;

namespace {

using Clock = std::chrono::steady_clock;

// Between two attempts of a thread that waits itself.
constexpr std::chrono::nanoseconds kFirstPause = std::chrono::microseconds(50);

}  // namespace

Change::Change(std::shared_ptr<Mechanism> mechanism, ChangeOptions options)
    : state_(
          std::make_shared<State>(std::move(mechanism), std::move(options))) {}

std::string Change::name() const { return state_->name; }

absl::Status Change::Prepare(UpdateForecast* forecast) {
  const std::unique_lock<ForkMutex> lock = state_->Lock();
  UpdateForecast unwanted;
  return state_->PrepareLocked(/*again=*/true,
                               forecast != nullptr ? *forecast : unwanted);
}

absl::Status Change::CanUndo() const {
  const std::unique_lock<ForkMutex> lock = state_->Lock();
  return state_->transition.CanUndo();
}

std::vector<std::string> Change::LostByUndo() const {
  const std::unique_lock<ForkMutex> lock = state_->Lock();
  return state_->transition.LostByUndo();
}

void Change::AskOnly(std::function<std::vector<ThreadRef>()> threads) {
  const std::lock_guard<ForkMutex> guard(state_->shown_lock);
  state_->ask_only = std::move(threads);
}

Attempt Change::Apply() { return state_->Try(Direction::kApply, nullptr); }
Attempt Change::Undo() { return state_->Try(Direction::kUndo, nullptr); }
std::vector<Blocker> Change::Blockers() const {
  const std::lock_guard<ForkMutex> guard(state_->shown_lock);
  return state_->blockers;
}
absl::StatusOr<std::vector<Blocker>> Change::Check() {
  return state_->Check(nullptr, "");
}
absl::StatusOr<std::vector<Blocker>> Change::CheckIn(const ThreadRef& thread,
                                                     const std::string& point) {
  return state_->Check(&thread, point);
}
Attempt Change::operator()(UpdateContext& context) {
  return state_->Try(Direction::kApply, &context);
}

UpdateFunction Change::UndoFunction() const {
  return [state = state_](UpdateContext& context) {
    return state->Try(Direction::kUndo, &context);
  };
}

bool Change::is_applied() const { return state_->transition.is_applied(); }

bool Change::is_broken() const {
  return state_->is_broken.load(std::memory_order_relaxed);
}

Change::Objects Change::objects() const {
  const Mechanism::Progress progress = state_->transition.progress();
  return {progress.converted, progress.total, progress.is_converting};
}

std::vector<ThreadRef> Change::StartedThreads() const {
  const std::unique_lock<ForkMutex> lock = state_->Lock();
  return state_->transition.StartedThreads();
}

Change::Holds Change::TakeHolds() {
  const std::lock_guard<ForkMutex> guard(state_->shown_lock);
  return std::exchange(state_->holds, Holds());
}

std::chrono::nanoseconds Change::time_stopped() const {
  const std::unique_lock<ForkMutex> lock = state_->Lock();
  return state_->transition.time_stopped();
}

absl::Status Apply(std::shared_ptr<Mechanism> mechanism, ChangeOptions options,
                   std::chrono::nanoseconds timeout) {
  Change change(std::move(mechanism), std::move(options));
  INSTAR_RETURN_IF_ERROR(change.Prepare());
  const Clock::time_point until = DeadlineAfter(timeout);
  Pauses pauses(kFirstPause);
  while (true) {
    const Attempt attempt = change.Apply();
    if (attempt.is_done()) return absl::OkStatus();
    if (attempt.is_failed()) return attempt.status();
    if (Clock::now() >= until) {
      return absl::DeadlineExceededError(absl::StrCat(
          change.name(), ": there was no safe moment: ", attempt.reason()));
    }
    // A controlled thread can be held here by others meanwhile.
    SleepFor(std::min<std::chrono::nanoseconds>(pauses.Next(),
                                                until - Clock::now()));
  }
}

}  // namespace instar
