// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/class_update.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/at_fork.h"
#include "base/fork_mutex.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "threads/blocking_region.h"
#include "updates/author_watch.h"
#include "updates/background_work.h"
#include "updates/held_quiescence.h"

namespace instar {

using updates_internal::AddBackgroundWork;
using updates_internal::AuthorWatch;
using updates_internal::ClassWatch;
using updates_internal::HoldOptions;
using updates_internal::Patience;
using updates_internal::RememberWatch;
using updates_internal::RemoveBackgroundWork;
using updates_internal::WatchedSet;
using updates_internal::WhenHeldAndQuiescent;

namespace {

// An update function has no time limit of its own: threads are released under a
// Convert() that takes longer than this for one object.
constexpr std::chrono::seconds kLongestConversion(5);

}  // namespace

struct ClassUpdate::State {
  State(std::shared_ptr<ConversionStep> s, std::shared_ptr<ClassWatch> w,
        std::chrono::nanoseconds l)
      : step(std::move(s)), watch(std::move(w)), patience(l) {
    AddBackgroundWork(step);
  }
  ~State() {
    // What is applied stays in effect, and so does its background work.
    if (!is_applied) RemoveBackgroundWork(step.get());
  }

  // Whether it is known what is in effect.
  absl::Status CheckKnown() {
    // In a child of a process in which another thread was about it.
    is_unknown = is_unknown || lock.WasLostInFork();
    if (is_unknown) {
      return absl::FailedPreconditionError(
          "whether this update of a class is in effect is not known: another "
          "thread was applying or undoing it when this process was forked; "
          "make a new one here");
    }
    if (is_broken) {
      return absl::DataLossError(absl::StrCat(
          step->name(),
          " was given up half way, since code of its author did not return: "
          "the state of the objects is unknown"));
    }
    return absl::OkStatus();
  }

  absl::Status PrepareLocked() {
    INSTAR_RETURN_IF_ERROR(CheckKnown());
    if (is_prepared || is_applied) return absl::OkStatus();
    INSTAR_RETURN_IF_ERROR(step->Prepare());
    INSTAR_RETURN_IF_ERROR(watch->Get(/*thorough=*/false).status());
    is_prepared = true;
    is_first = true;
    return absl::OkStatus();
  }

  // Over what its author wrote, from the first attempt on until one is through.
  absl::Status StartWatch() {
    if (author_watch != nullptr) {
      if (watch_generation == ForkGeneration()) return absl::OkStatus();
      EndWatch();
    }
    watch_generation = ForkGeneration();
    auto started = std::make_unique<AuthorWatch>(
        AuthorWatch::Clock::time_point::min(), [] { return false; },
        kLongestConversion);
    INSTAR_RETURN_IF_ERROR(started->Start());
    author_watch = std::move(started);
    step->WatchBy(&author_watch->conversion());
    return absl::OkStatus();
  }
  void EndWatch() {
    step->WatchBy(nullptr);
    // In a child its thread is not there to be joined: it is left as it is.
    if (watch_generation != ForkGeneration()) {
      static_cast<void>(author_watch.release());
    }
    author_watch = nullptr;
  }

  const std::shared_ptr<ConversionStep> step;
  const std::shared_ptr<ClassWatch> watch;

  // Held during an attempt; it is only ever tried, for whoever waited for it
  // could be a thread that the attempt waits for.
  ForkMutex lock;
  bool is_unknown = false;
  bool is_broken = false;  // given up while it changed objects
  Patience patience;
  std::unique_ptr<AuthorWatch> author_watch;
  std::uint32_t watch_generation = 0;  // of the process that has its thread
  bool is_prepared = false;
  bool is_first = true;  // the next attempt, since the latest change
  // Changed with the lock held; read at any time.
  std::atomic<bool> is_applied{false};
};

ClassUpdate::ClassUpdate(std::shared_ptr<ConversionStep> step,
                         std::shared_ptr<ClassWatch> watch,
                         std::chrono::nanoseconds limit)
    : state_(
          std::make_shared<State>(std::move(step), std::move(watch), limit)) {}

absl::Status ClassUpdate::Prepare() {
  std::lock_guard<ForkMutex> lock(state_->lock);
  state_->is_prepared = false;
  return state_->PrepareLocked();
}

Attempt ClassUpdate::Try(bool apply, const UpdateContext* context) {
  State& state = *state_;
  const std::unique_lock<ForkMutex> lock(state.lock, std::try_to_lock);
  if (!lock.owns_lock()) {
    return Attempt::NotYet("another thread is about to do it");
  }
  absl::Status known = state.CheckKnown();
  if (!known.ok()) return Attempt::Failed(std::move(known));
  if (state.is_applied == apply) return Attempt::Done();
  if (const auto too_early = state.patience.TooEarly(Patience::Clock::now())) {
    return *too_early;
  }
  absl::Status prepared = state.PrepareLocked();
  if (!prepared.ok()) return Attempt::Failed(std::move(prepared));
  const absl::StatusOr<WatchedSet> watched =
      state.watch->Get(/*thorough=*/!state.is_first);
  if (!watched.ok()) return Attempt::Failed(watched.status());
  state.is_first = false;
  HoldOptions options;
  options.patience = &state.patience;
  options.context = context;
  absl::Status watching = state.StartWatch();
  if (!watching.ok()) return Attempt::Failed(std::move(watching));
  options.watch = state.author_watch.get();
  options.what = absl::StrCat("Convert() of ", state.step->name());
  Attempt attempt = WhenHeldAndQuiescent({*watched}, options, [&] {
    return apply ? state.step->Apply() : state.step->Undo();
  });
  state.is_broken = state.author_watch->has_released();
  if (!attempt.is_not_yet()) state.EndWatch();
  if (attempt.is_done()) {
    if (apply) RememberWatch(state.watch);
    state.is_first = true;
    // Objects may have been made that want other preparations.
    state.is_prepared = false;
    state.is_applied.store(apply, std::memory_order_release);
  }
  return attempt;
}

Attempt ClassUpdate::Apply() { return Try(/*apply=*/true, nullptr); }
Attempt ClassUpdate::Undo() { return Try(/*apply=*/false, nullptr); }

Attempt ClassUpdate::operator()(UpdateContext& context) {
  return Try(/*apply=*/true, &context);
}

UpdateFunction ClassUpdate::UndoFunction() const {
  return [update = *this](UpdateContext& context) mutable {
    return update.Try(/*apply=*/false, &context);
  };
}

bool ClassUpdate::is_applied() const {
  return state_->is_applied.load(std::memory_order_acquire);
}

ConversionStep& ClassUpdate::conversion() const { return *state_->step; }

namespace updates_internal {

absl::Status ApplyWithin(ClassUpdate update, std::chrono::nanoseconds limit) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::nanoseconds kFirstPause =
      std::chrono::microseconds(200);
  constexpr std::chrono::nanoseconds kLastPause = std::chrono::milliseconds(4);
  const Clock::time_point until = DeadlineAfter(limit);
  std::chrono::nanoseconds pause = kFirstPause;
  while (true) {
    const Attempt attempt = update.Apply();
    if (attempt.is_done()) return absl::OkStatus();
    if (attempt.is_failed()) return attempt.status();
    if (Clock::now() >= until) {
      return absl::DeadlineExceededError(
          absl::StrCat(update.conversion().name(),
                       " found no safe moment: ", attempt.reason()));
    }
    // A controlled thread can be held here by others meanwhile.
    SleepFor(pause);
    pause = std::min(2 * pause, kLastPause);
  }
}

}  // namespace updates_internal
}  // namespace instar
