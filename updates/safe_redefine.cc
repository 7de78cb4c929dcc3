// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/safe_redefine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/fork_mutex.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "code/function.h"
#include "code/other_threads.h"
#include "stack/function_set.h"
#include "stack/stack_snapshot.h"
#include "threads/stopped_wait.h"
#include "updates/quiescence/forced_quiescence.h"
#include "updates/quiescence/pacing.h"

namespace instar {
namespace {

// Between two looks while calls wait.
constexpr std::chrono::nanoseconds kFirstPause = std::chrono::microseconds(50);
constexpr std::chrono::nanoseconds kLastPause = std::chrono::milliseconds(1);

// How long threads have to stop, at first and at most.
constexpr std::chrono::milliseconds kFirstStopLimit(10);
constexpr std::chrono::milliseconds kLastStopLimit(320);

// Threads are stopped for at most a tenth of any second at any instruction, and
// stand still for a fiftieth at rendezvous. Those that do not stop in time are
// given longer, and the pauses grow with that.
updates_internal::Pacing::Options PacingOf(const SafeRedefineOptions& looks) {
  updates_internal::Pacing::Options options;
  options.first_pause = options.last_pause = std::chrono::nanoseconds(0);
  if (looks.stacks == Stacks::kAllThreads) {
    options.first_limit = kFirstStopLimit;
    options.last_limit = kLastStopLimit;
    options.per_second = std::chrono::milliseconds(100);
  } else {
    options.first_limit = options.last_limit = looks.rendezvous_limit;
  }
  return options;
}

// Locks a mutex that is held while threads meet at a rendezvous: whoever waits
// for it counts as having come.
class StoppedLock {
 public:
  explicit StoppedLock(ForkMutex& mutex) : lock_(mutex, std::try_to_lock) {
    if (lock_.owns_lock()) return;
    threads_internal::WaitAsStopped(SnapshotOfCaller(),
                                    [this] { lock_.lock(); });
  }

 private:
  std::unique_lock<ForkMutex> lock_;
};

}  // namespace

struct SafeRedefinition::State {
  State(Redefinitions r, SafeRedefineOptions o)
      : redefinitions(std::move(r)), options(o) {}

  // In a child of a process in which another thread was about it.
  absl::Status CheckKnown() {
    is_unknown = is_unknown || lock.WasLostInFork();
    if (!is_unknown) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "whether this redefinition is in effect is not known: another thread "
        "was applying or undoing it when this process was forked; make a new "
        "one here");
  }

  absl::Status PrepareLocked() {
    INSTAR_RETURN_IF_ERROR(CheckKnown());
    if (prepared.has_value()) return absl::OkStatus();
    if (options.forced_quiescence.count() > 0) {
      if (options.stacks == Stacks::kThisThread) {
        return absl::InvalidArgumentError(
            "forced quiescence makes other threads wait, but only the calling "
            "thread's stack is looked at; choose Stacks::kControlledThreads or "
            "kAllThreads");
      }
      if (!redefinitions.slots().empty()) {
        return absl::InvalidArgumentError(
            "a slot has no entry at which calls could wait; redefine it "
            "without forced quiescence");
      }
    }
    // Names in the reasons of attempts, too, so that none has to read them.
    FunctionMap::Preload();
    RedirectionOptions redirection_options;
    redirection_options.ignore_inlined_copies = options.ignore_inlined_copies;
    auto made = PreparedRedefinitions::Make(redefinitions, redirection_options);
    INSTAR_RETURN_IF_ERROR(made.status());
    INSTAR_ASSIGN_OR_RETURN(const auto functions, made->QuiescentFunctions());
    INSTAR_RETURN_IF_ERROR(Watch(functions).status());
    prepared.emplace(*std::move(made));
    return absl::OkStatus();
  }

  absl::StatusOr<WatchedFunctions> Watch(
      const std::vector<Function>& watched) const {
    WatchedFunctions::Options watch_options;
    // A slot leads to functions, not to copies; those of the others have been
    // asked for by Redirection::Prepare().
    watch_options.ignore_unknown_copies =
        options.ignore_inlined_copies || !redefinitions.slots().empty();
    return WatchedFunctions::Make(watched, watch_options);
  }

  // Applies or undoes when the functions are quiescent.
  Attempt Change(absl::Status (PreparedRedefinitions::*change)(OtherThreads)) {
    // Who makes calls wait has said for how long.
    if (options.forced_quiescence.count() == 0 &&
        updates_internal::Pacing::Clock::now() < pacing.next()) {
      return Attempt::NotYet(reason);
    }
    // Anew each time: others may have redirected the functions since.
    const auto functions = prepared->QuiescentFunctions();
    if (!functions.ok()) return Attempt::Failed(functions.status());
    const absl::StatusOr<WatchedFunctions> watched = Watch(*functions);
    if (!watched.ok()) return Attempt::Failed(watched.status());
    const auto look = [&](std::chrono::nanoseconds limit) {
      QuiescenceReport report;
      Attempt attempt = WhenQuiescent(
          *watched, options.stacks,
          [&](OtherThreads others) { return ((*prepared).*change)(others); },
          limit, &report);
      time_stopped += report.stopped;
      if (attempt.is_not_yet() && report.stopped.count() > 0) {
        const auto now = updates_internal::Pacing::Clock::now();
        pacing.Note(now - report.stopped, now, report.was_too_short);
      }
      return attempt;
    };
    Attempt attempt = look(pacing.limit());
    if (attempt.is_not_yet() && options.forced_quiescence.count() > 0) {
      attempt = Force(*functions, *watched, look);
    }
    is_applied.store(prepared->is_applied(), std::memory_order_release);
    reason = attempt.reason();
    return attempt;
  }

  // New calls wait while `look` is repeated until it is done, at most for the
  // time that the options give.
  Attempt Force(
      const std::vector<Function>& functions, const WatchedFunctions& watched,
      absl::FunctionRef<Attempt(std::chrono::nanoseconds)> look) const {
    const Attempt own =
        WhenQuiescent(watched, Stacks::kThisThread,
                      [](OtherThreads) { return absl::OkStatus(); });
    if (!own.is_done()) return own;  // it cannot drain while we wait
    const auto until = DeadlineAfter(options.forced_quiescence);
    const auto forced = ForcedQuiescence::Begin(functions, watched, until);
    if (!forced.ok()) return Attempt::Failed(forced.status());
    std::chrono::nanoseconds pause = kFirstPause;
    auto now = ForcedQuiescence::Clock::now();
    Attempt attempt = Attempt::NotYet("");
    while (true) {
      attempt = look(std::min<std::chrono::nanoseconds>(
          options.stacks == Stacks::kAllThreads ? kStopLimit
                                                : options.rendezvous_limit,
          until - now));
      now = ForcedQuiescence::Clock::now();
      if (!attempt.is_not_yet()) return attempt;
      if (now >= until) break;
      // It counts as stopped: other updates may go on.
      const auto next = std::min(until, now + pause);
      threads_internal::WaitAsStopped(
          SnapshotOfCaller(), [next] { std::this_thread::sleep_until(next); });
      pause = std::min(2 * pause, kLastPause);
      now = next;
    }
    return Attempt::NotYet(absl::StrCat(
        attempt.reason(), "; forced quiescence was given up after ",
        std::chrono::duration_cast<std::chrono::milliseconds>(
            options.forced_quiescence)
            .count(),
        " ms, in which ", forced->waited(), " calls waited"));
  }

  const Redefinitions redefinitions;
  const SafeRedefineOptions options;
  // Held while a look goes on. A thread that waits for it can be stopped, and
  // nothing that is done while threads are stopped takes it.
  ForkMutex lock;
  bool is_unknown = false;
  // For those who only ask. Release, paired with the acquire load in
  // SafeRedefinition::is_applied(): whoever sees it has the redefinition.
  std::atomic<bool> is_applied{false};
  std::optional<PreparedRedefinitions> prepared;  // set when prepared
  updates_internal::Pacing pacing{PacingOf(options)};
  std::string reason;  // of the latest attempt
  std::chrono::nanoseconds time_stopped{0};
};

SafeRedefinition::SafeRedefinition(Redefinitions redefinitions,
                                   SafeRedefineOptions options)
    : state_(std::make_shared<State>(std::move(redefinitions), options)) {}

absl::Status SafeRedefinition::Prepare() {
  const StoppedLock lock(state_->lock);
  return state_->PrepareLocked();
}

Attempt SafeRedefinition::Apply() {
  const StoppedLock lock(state_->lock);
  absl::Status prepared = state_->PrepareLocked();
  if (!prepared.ok()) return Attempt::Failed(std::move(prepared));
  if (state_->prepared->is_applied()) return Attempt::Done();
  return state_->Change(&PreparedRedefinitions::Apply);
}

Attempt SafeRedefinition::Undo() {
  const StoppedLock lock(state_->lock);
  absl::Status known = state_->CheckKnown();
  if (!known.ok()) return Attempt::Failed(std::move(known));
  if (!state_->prepared.has_value() || !state_->prepared->is_applied()) {
    return Attempt::Done();
  }
  return state_->Change(&PreparedRedefinitions::Undo);
}

bool SafeRedefinition::is_applied() const {
  return state_->is_applied.load(std::memory_order_acquire);
}

std::chrono::nanoseconds SafeRedefinition::time_stopped() const {
  const StoppedLock lock(state_->lock);
  return state_->time_stopped;
}

UpdateFunction SafeRedefinition::UndoFunction() const {
  return [redefinition = *this](UpdateContext&) mutable {
    return redefinition.Undo();
  };
}

}  // namespace instar
