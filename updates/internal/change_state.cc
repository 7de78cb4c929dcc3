// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/change_state.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/stopped_wait.h"
#include "threads/thread_state.h"
#include "updates/internal/rehearsal.h"
#include "updates/quiescence/forced_quiescence.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/pacing.h"

namespace instar {

using updates_internal::Obstacles;
using updates_internal::Pacing;
using updates_internal::Pauses;
using updates_internal::Rehearsal;
using updates_internal::RehearsalOptions;
using updates_internal::Transition;

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// How long threads have to come or to stop, at first and at most.
constexpr milliseconds kFirstLimit(10);
constexpr milliseconds kLastLimit(320);
// The same where calls are made to wait meanwhile, which is limited itself.
constexpr milliseconds kForcedLimit(100);
nanoseconds ForcedLimit(const ChangeOptions& options) {
  return options.limit.value_or(kForcedLimit);
}
// Between two attempts while calls wait.
constexpr nanoseconds kFirstForcedPause = std::chrono::microseconds(50);
constexpr nanoseconds kLastForcedPause = milliseconds(1);
// There is no time limit: threads are released under code of the author that
// takes longer than this (of a conversion, for one object).
constexpr std::chrono::seconds kLongestCall(5);

// Threads are stopped for at most a tenth of any second at any instruction, and
// stand still for a fiftieth at rendezvous. Whoever makes the attempts decides
// how often.
Pacing::Options PacingOf(const ChangeOptions& options) {
  Pacing::Options pacing;
  pacing.first_pause = pacing.last_pause = nanoseconds(0);
  pacing.first_limit = options.limit.value_or(kFirstLimit);
  pacing.last_limit = options.limit.value_or(kLastLimit);
  if (options.stacks == Stacks::kAllThreads) {
    pacing.per_second = milliseconds(100);
  }
  return pacing;
}

Blocker NotRegistered(const ThreadRef& thread) {
  Blocker blocker;
  blocker.thread = thread.name();
  blocker.tid = thread.tid();
  blocker.reason = "it is not registered with the manager, and is not asked";
  blocker.remedy = "let the program register it";
  return blocker;
}

}  // namespace

Change::State::State(std::shared_ptr<Mechanism> m, ChangeOptions o)
    : name(m->name()),
      options(std::move(o)),
      traits(m->traits()),
      transition({std::move(m)}),
      retries(PacingOf(options)) {}

std::unique_lock<ForkMutex> Change::State::Lock() {
  std::unique_lock<ForkMutex> guard(lock, std::try_to_lock);
  if (!guard.owns_lock()) {
    threads_internal::WaitAsStopped(SnapshotOfCaller(),
                                    [&guard] { guard.lock(); });
  }
  return guard;
}

Stacks Change::State::StacksOf(bool in_update_function) const {
  if (options.stacks.has_value()) return *options.stacks;
  return in_update_function && !traits.thread.empty() ? Stacks::kThisThread
                                                      : traits.least_stacks;
}

absl::Status Change::State::CheckThread(UpdateContext* context) const {
  if (!IsOfThread(context) || context->thread().name() == traits.thread) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": it is an update function of thread '",
                   context->thread().name(), "'"));
}

absl::Status Change::State::CheckKnown() {
  // In a child of a process in which another thread was about it.
  is_unknown = is_unknown || lock.WasLostInFork();
  if (is_unknown) {
    return absl::FailedPreconditionError(absl::StrCat(
        "whether this is in effect is not known: ", name,
        ": another thread was applying or undoing it when this process was "
        "forked; make a new one here"));
  }
  return broken;
}

absl::Status Change::State::CheckAsked() {
  const std::lock_guard<ForkMutex> guard(shown_lock);
  if (ask_only == nullptr || options.stacks != Stacks::kAllThreads) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      name,
      ": all threads of the process would be stopped (Stacks::kAllThreads), "
      "but only registered ones may be; choose Stacks::kControlledThreads"));
}

std::optional<std::vector<ThreadRef>> Change::State::Asked(
    std::vector<ThreadRef>& left_out) {
  std::function<std::vector<ThreadRef>()> only;
  {
    const std::lock_guard<ForkMutex> guard(shown_lock);
    only = ask_only;
  }
  if (options.threads == nullptr) {
    if (only == nullptr) return std::nullopt;
    return only();
  }
  std::vector<ThreadRef> asked = options.threads();
  if (only == nullptr) return asked;
  const std::vector<ThreadRef> allowed = only();
  for (const ThreadRef& thread : asked) {
    if (thread.state() != ThreadState::kEnded &&
        std::find(allowed.begin(), allowed.end(), thread) == allowed.end()) {
      left_out.push_back(thread);
    }
  }
  return asked;
}

absl::Status Change::State::PrepareLocked(bool again,
                                          UpdateForecast& forecast) {
  INSTAR_RETURN_IF_ERROR(CheckKnown());
  INSTAR_RETURN_IF_ERROR(CheckAsked());
  if (transition.is_applied() || (is_prepared && !again)) {
    return absl::OkStatus();
  }
  if (options.stacks == Stacks::kThisThread && traits.thread.empty() &&
      traits.least_stacks != Stacks::kThisThread) {
    return absl::InvalidArgumentError(
        absl::StrCat(name,
                     ": other threads may use what is changed, but only the "
                     "calling thread's stack is looked at; choose "
                     "Stacks::kControlledThreads"));
  }
  if (options.forced_quiescence.count() > 0 &&
      StacksOf(/*in_update_function=*/false) == Stacks::kThisThread) {
    return absl::InvalidArgumentError(
        "forced quiescence makes other threads wait, but only the calling "
        "thread's stack is looked at; choose Stacks::kControlledThreads or "
        "kAllThreads");
  }
  if (!options.point.empty() &&
      (StacksOf(/*in_update_function=*/false) != Stacks::kControlledThreads ||
       StacksOf(/*in_update_function=*/true) != Stacks::kControlledThreads)) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": threads are held at update point '", options.point,
        "' only with Stacks::kControlledThreads; choose that"));
  }
  UpdateForecast own;
  INSTAR_RETURN_IF_ERROR(transition.Prepare(own));
  forecast.Add(std::move(own));
  if (options.forced_quiescence.count() > 0 && !transition.can_be_forced()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name,
        ": only what Redefine() redefines can be forced to be quiescent, where "
        "it is no slot: calls wait at the entries"));
  }
  is_prepared = true;
  is_first = true;
  return absl::OkStatus();
}

absl::Status Change::State::StartWatch(UpdateContext* context) {
  if (StacksOf(context) == Stacks::kThisThread) return absl::OkStatus();
  Transition::WatchOptions watch;
  watch.until = Clock::time_point::min();
  watch.at_least = kLongestCall;
  return transition.StartWatch(std::move(watch));
}

Attempt Change::State::TryOnce(Direction direction, UpdateContext* context,
                               std::optional<nanoseconds> limit) {
  Transition::TryOptions attempt_options;
  StopOptions& stop = attempt_options.stop;
  stop.stacks = StacksOf(context);
  stop.context = context;
  stop.limit = limit.value_or(options.limit.value_or(kLastLimit));
  stop.point = options.point;
  attempt_options.thorough = !is_first;
  attempt_options.never_wait = true;
  is_first = false;
  Obstacles obstacles(/*most=*/1);
  std::vector<ThreadRef> left_out;
  if (stop.stacks == Stacks::kControlledThreads) stop.threads = Asked(left_out);
  for (const ThreadRef& thread : left_out) obstacles.Add(NotRegistered(thread));
  const bool is_paced =
      stop.stacks != Stacks::kThisThread && !limit.has_value();
  Attempt attempt =
      left_out.empty()
          ? transition.Try(direction, std::move(attempt_options),
                           is_paced ? &retries : nullptr, obstacles)
          : Attempt::NotYet("");
  {
    std::vector<Blocker> found;
    if (attempt.is_not_yet()) found = obstacles.ToBlockers();
    std::vector<nanoseconds> held;
    if (attempt.is_done()) held = transition.HoldTimes();
    const std::lock_guard<ForkMutex> guard(shown_lock);
    blockers.swap(found);
    if (attempt.is_done()) {
      holds.times.insert(holds.times.end(), held.begin(), held.end());
      holds.by_signal += static_cast<int>(transition.stopped_by_signal());
    }
  }
  return attempt.is_not_yet() ? obstacles.ToAttempt() : attempt;
}

Attempt Change::State::TryOrForce(Direction direction, UpdateContext* context) {
  // Who makes calls wait has said for how long.
  const bool can_force = options.forced_quiescence.count() > 0;
  if (!can_force && retries.IsTooEarly(Clock::now())) {
    return Attempt::NotYet(reason);
  }
  absl::Status watching = StartWatch(context);
  if (!watching.ok()) return Attempt::Failed(std::move(watching));
  Attempt attempt =
      TryOnce(direction, context,
              can_force ? std::optional<nanoseconds>(ForcedLimit(options))
                        : std::nullopt);
  if (attempt.is_not_yet() && can_force) attempt = Force(direction, context);
  if (attempt.is_failed() && transition.is_broken()) {
    broken = absl::DataLossError(
        absl::StrCat(name, " was given up half way: ", attempt.reason()));
    is_broken.store(true, std::memory_order_relaxed);
  }
  if (!attempt.is_not_yet()) transition.calls().End();
  if (attempt.is_done()) {
    is_first = true;
    is_prepared = false;  // the program goes on meanwhile
  }
  reason = attempt.reason();
  return attempt;
}

Attempt Change::State::Force(Direction direction, UpdateContext* context) {
  Attempt attempt = Attempt::NotYet(reason);
  {
    // What the caller is inside of cannot drain while it waits.
    StopOptions own;
    own.stacks = Stacks::kThisThread;
    own.context = context;
    Obstacles obstacles(/*most=*/1);
    if (!transition.IsQuiescentNow(std::move(own), obstacles)) {
      return obstacles.ToAttempt();
    }
  }
  const auto until = DeadlineAfter(options.forced_quiescence);
  const auto forced = ForcedQuiescence::Begin(
      transition.functions(), *transition.watched_functions(), until);
  if (!forced.ok()) return Attempt::Failed(forced.status());
  Pauses pauses(kFirstForcedPause, kLastForcedPause);
  auto now = ForcedQuiescence::Clock::now();
  while (true) {
    attempt = TryOnce(direction, context,
                      std::min<nanoseconds>(ForcedLimit(options), until - now));
    now = ForcedQuiescence::Clock::now();
    if (!attempt.is_not_yet()) return attempt;
    if (now >= until) break;
    // It counts as stopped: other updates may go on.
    const auto next = std::min(until, now + pauses.Next());
    threads_internal::WaitAsStopped(
        SnapshotOfCaller(), [next] { std::this_thread::sleep_until(next); });
    now = next;
  }
  return Attempt::NotYet(absl::StrCat(
      attempt.reason(), "; forced quiescence was given up after ",
      std::chrono::duration_cast<milliseconds>(options.forced_quiescence)
          .count(),
      " ms, in which ", forced->waited(), " calls waited"));
}

Attempt Change::State::Try(Direction direction, UpdateContext* context) {
  std::unique_lock<ForkMutex> guard(lock, std::try_to_lock);
  if (!guard.owns_lock()) {
    // Code of the author may not return.
    if (traits.authors != AuthorsCodeIn::kNothing) {
      return Attempt::NotYet("another thread is about to do it");
    }
    guard = Lock();
  }
  absl::Status known = CheckKnown();
  if (known.ok()) known = CheckThread(context);
  if (known.ok()) known = CheckAsked();
  if (!known.ok()) return Attempt::Failed(std::move(known));
  const bool applies = direction == Direction::kApply;
  if (transition.is_applied() == applies && !IsOfThread(context)) {
    return Attempt::Done();
  }
  if (applies) {
    UpdateForecast unwanted;
    absl::Status prepared = PrepareLocked(/*again=*/false, unwanted);
    if (!prepared.ok()) return Attempt::Failed(std::move(prepared));
  }
  return TryOrForce(direction, context);
}

absl::StatusOr<std::vector<Blocker>> Change::State::Check(const ThreadRef* in,
                                                          std::string point) {
  const std::unique_lock<ForkMutex> guard = Lock();
  INSTAR_RETURN_IF_ERROR(CheckKnown());
  if (transition.is_applied()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, ": it is applied already"));
  }
  UpdateForecast unwanted;
  INSTAR_RETURN_IF_ERROR(PrepareLocked(/*again=*/true, unwanted));
  std::vector<ThreadRef> left_out;
  RehearsalOptions how;
  how.stacks = StacksOf(/*in_update_function=*/in != nullptr);
  how.point = options.point;
  if (how.stacks == Stacks::kThisThread && in != nullptr) {
    // It is held instead of asked to do it.
    how.stacks = Stacks::kControlledThreads;
    how.threads = {*in};
    how.point = std::move(point);
  } else if (how.stacks == Stacks::kControlledThreads) {
    std::optional<std::vector<ThreadRef>> asked = Asked(left_out);
    how.threads = asked.has_value() ? *std::move(asked) : ControlledThreads();
    if (!left_out.empty()) {
      std::vector<Blocker> blockers;
      for (const ThreadRef& thread : left_out) {
        blockers.push_back(NotRegistered(thread));
      }
      return blockers;
    }
  }
  // Between two attempts there may be one.
  const bool is_watched = transition.calls().watch() != nullptr;
  Transition::WatchOptions watch;
  watch.until = Clock::time_point::min();
  watch.at_least = kLongestCall;
  watch.for_questions = true;
  INSTAR_RETURN_IF_ERROR(transition.StartWatch(std::move(watch)));
  absl::StatusOr<Rehearsal> rehearsal = Rehearse(transition, how);
  if (!is_watched) transition.calls().End();
  INSTAR_RETURN_IF_ERROR(rehearsal.status());
  return std::move(rehearsal->blockers);
}

}  // namespace instar
