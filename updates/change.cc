// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/change.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/fork_mutex.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "stack/stack_snapshot.h"
#include "threads/blocking_region.h"
#include "threads/internal/stopped_wait.h"
#include "threads/thread_state.h"
#include "updates/internal/rehearsal.h"
#include "updates/internal/transition.h"
#include "updates/mechanisms/internal/built_in.h"
#include "updates/quiescence/forced_quiescence.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/pacing.h"
#include "updates/quiescence/internal/retries.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {

using updates_internal::AuthorWatch;
using updates_internal::BuiltInMechanism;
using updates_internal::Obstacles;
using updates_internal::Pacing;
using updates_internal::Pauses;
using updates_internal::Rehearsal;
using updates_internal::RehearsalOptions;
using updates_internal::Retries;
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
// Between two attempts while calls wait, and of one thread that waits itself.
constexpr nanoseconds kFirstPause = std::chrono::microseconds(50);
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

struct Change::State {
  State(std::shared_ptr<Mechanism> m, ChangeOptions o)
      : name(m->name()),
        options(std::move(o)),
        built_in(dynamic_cast<BuiltInMechanism*>(&*m)),
        transition({std::move(m)}),
        retries(PacingOf(options)) {}

  // Whose stacks are looked at.
  Stacks StacksOf(bool in_update_function) const {
    if (options.stacks.has_value()) return *options.stacks;
    return built_in == nullptr ? Stacks::kControlledThreads
                               : built_in->least_stacks(in_update_function);
  }
  Stacks StacksOf(UpdateContext* context) const {
    return StacksOf(/*in_update_function=*/context != nullptr);
  }
  bool runs_authors() const {
    return built_in == nullptr ||
           built_in->authors() != BuiltInMechanism::Authors::kNothing;
  }

  // Whoever waits for it counts as stopped: others may be about to stop it.
  std::unique_lock<ForkMutex> Lock() {
    std::unique_lock<ForkMutex> guard(lock, std::try_to_lock);
    if (!guard.owns_lock()) {
      threads_internal::WaitAsStopped(SnapshotOfCaller(),
                                      [&guard] { guard.lock(); });
    }
    return guard;
  }
  // Whether it is known what is in effect.
  absl::Status CheckKnown() {
    // In a child of a process in which another thread was about it.
    is_unknown = is_unknown || lock.WasLostInFork();
    if (is_unknown) {
      return absl::FailedPreconditionError(absl::StrCat(
          "whether this is in effect is not known: ", name,
          ": another thread was applying or undoing it when this process was "
          "forked; make a new one here"));
    }
    if (!broken.ok()) return broken;
    return absl::OkStatus();
  }

  nanoseconds ForcedLimit() const {
    return options.limit.value_or(kForcedLimit);
  }

  // Whether those that may be asked are enough for the options.
  absl::Status CheckAsked() {
    const std::lock_guard<ForkMutex> guard(shown_lock);
    if (ask_only == nullptr || options.stacks != Stacks::kAllThreads) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError(absl::StrCat(
        name,
        ": all threads of the process would be stopped (Stacks::kAllThreads), "
        "but only registered ones may be; choose Stacks::kControlledThreads"));
  }
  // Those that kControlledThreads are; nothing: all. Adds to `left_out` those
  // of the options that may not be asked.
  std::optional<std::vector<ThreadRef>> Asked(std::vector<ThreadRef>& left_out);

  absl::Status PrepareLocked(bool again, UpdateForecast& forecast);
  absl::Status StartWatch(UpdateContext* context);
  Attempt TryOnce(Direction direction, UpdateContext* context,
                  std::optional<nanoseconds> limit);
  Attempt TryOrForce(Direction direction, UpdateContext* context);
  Attempt Force(Direction direction, UpdateContext* context);
  Attempt Try(Direction direction, UpdateContext* context);
  absl::StatusOr<std::vector<Blocker>> Check(const ThreadRef* in,
                                             std::string point);

  const std::string name;
  const ChangeOptions options;
  BuiltInMechanism* const built_in;  // null: it is somebody else's

  // Held during an attempt. Nothing that is done while threads are stopped
  // takes it.
  ForkMutex lock;
  Transition transition;
  Retries retries;
  bool is_unknown = false;
  absl::Status broken;  // why it can neither be applied nor undone any more
  // Relaxed: whoever asks makes no other use of it.
  std::atomic<bool> is_broken{false};
  bool is_prepared = false;
  bool is_first = true;  // the next attempt, since the latest change
  std::string reason;    // of the latest attempt

  // Of the rest, which others see and set during an attempt.
  ForkMutex shown_lock;
  std::vector<Blocker> blockers;  // of the latest attempt
  std::function<std::vector<ThreadRef>()> ask_only;
  Holds holds;
};

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
  if (built_in != nullptr && options.stacks == Stacks::kThisThread &&
      built_in->least_stacks(/*in_update_function=*/true) !=
          Stacks::kThisThread) {
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
  if (options.forced_quiescence.count() > 0 && built_in != nullptr &&
      !built_in->CanBeForced()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name,
        ": only what Redefine() redefines can be forced to be quiescent, where "
        "it is no slot: calls wait at the entries"));
  }
  is_prepared = true;
  is_first = true;
  return absl::OkStatus();
}

// Over what the author wrote, from the first attempt on until one is through.
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
  if (is_first && stop.stacks == Stacks::kAllThreads) {
    StoppedWorld::FindDeafThreads();
  }
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
  Attempt attempt = TryOnce(
      direction, context,
      can_force ? std::optional<nanoseconds>(ForcedLimit()) : std::nullopt);
  if (attempt.is_not_yet() && can_force) attempt = Force(direction, context);
  if (attempt.is_failed() && transition.is_broken()) {
    broken = absl::DataLossError(
        absl::StrCat(name, " was given up half way: ", attempt.reason()));
    is_broken.store(true, std::memory_order_relaxed);
  }
  if (!attempt.is_not_yet()) transition.EndWatch();
  if (attempt.is_done()) {
    is_first = true;
    is_prepared = false;  // the program goes on meanwhile
  }
  reason = attempt.reason();
  return attempt;
}

// New calls wait while it is tried again and again, at most for the time that
// the options give.
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
  Pauses pauses(kFirstPause, kLastForcedPause);
  auto now = ForcedQuiescence::Clock::now();
  while (true) {
    attempt = TryOnce(direction, context,
                      std::min<nanoseconds>(ForcedLimit(), until - now));
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
    if (runs_authors()) {
      return Attempt::NotYet("another thread is about to do it");
    }
    guard = Lock();
  }
  absl::Status known = CheckKnown();
  if (known.ok()) known = CheckAsked();
  if (!known.ok()) return Attempt::Failed(std::move(known));
  const bool applies = direction == Direction::kApply;
  const bool is_of_this_thread = context != nullptr && built_in != nullptr &&
                                 built_in->IsDoneInEachThread();
  if (transition.is_applied() == applies && !is_of_this_thread) {
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
  const bool is_watched = transition.watch() != nullptr;
  Transition::WatchOptions watch;
  watch.until = Clock::time_point::min();
  watch.at_least = kLongestCall;
  watch.for_questions = true;
  INSTAR_RETURN_IF_ERROR(transition.StartWatch(std::move(watch)));
  absl::StatusOr<Rehearsal> rehearsal = Rehearse(transition, how);
  if (!is_watched) transition.EndWatch();
  INSTAR_RETURN_IF_ERROR(rehearsal.status());
  return std::move(rehearsal->blockers);
}

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
  const BuiltInMechanism::Progress progress = state_->transition.progress();
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
    SleepFor(std::min<nanoseconds>(pauses.Next(), until - Clock::now()));
  }
}

}  // namespace instar
