// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/thread_schedule.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "threads/known_names.h"
#include "threads/thread_state.h"
#include "updates/internal/author_calls.h"
#include "updates/internal/rehearsal.h"
#include "updates/internal/where_is.h"
#include "updates/quiescence/obstacles.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using threads_internal::CheckThreadName;
using threads_internal::RemarkOnUpdatePoint;

// Between attempts that are made on the thread that applies the update.
constexpr nanoseconds kFirstPause = std::chrono::microseconds(200);
constexpr nanoseconds kLastPause = milliseconds(4);
// How late a failure of another thread, Cancel(), or the end of the time is
// noticed while one thread is waited for. That it is done is noticed at once.
constexpr nanoseconds kLook = milliseconds(5);
// What is done is given this long at least to be taken back, and update
// functions that are just running to return.
constexpr nanoseconds kLeastTimeToTakeBack = std::chrono::seconds(10);
// After which a thread that comes to no update point is interrupted, to see
// where it is.
constexpr nanoseconds kGrace = milliseconds(100);

absl::Status In(const std::string& what, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(what, ": ", status.message()));
}

// Of a change that is not yet; `attempt` says all that there is if there are no
// blockers.
std::vector<Blocker> In(const std::string& what, std::vector<Blocker> blockers,
                        const Attempt& attempt) {
  if (blockers.empty()) blockers.emplace_back().reason = attempt.reason();
  for (Blocker& blocker : blockers) {
    blocker.reason = absl::StrCat(what, ": ", blocker.reason);
  }
  return blockers;
}

Blocker NoSuchThread(const std::string& name, const std::string& what) {
  Blocker blocker;
  blocker.reason = absl::StrCat("thread '", name, "': ", what,
                                ": there is no controlled thread '", name, "'");
  return blocker;
}

constexpr char kWaitsInRegion[] = ": it waits in a blocking region";
constexpr char kGetItOut[] =
    "wait until its call returns, or set the update function with "
    "interrupt_blocking_calls";

bool Contains(const std::vector<ThreadRef>& threads, const ThreadRef& thread) {
  return std::find(threads.begin(), threads.end(), thread) != threads.end();
}

bool HasEnded(const ThreadRef& thread) {
  return thread.state() == ThreadState::kEnded;
}

}  // namespace

// One thread's update function.
struct ThreadSchedule::Pending {
  Part* part;
  ThreadRef thread;
  UpdateRequest request;
  // How long the latest call took. Relaxed: the request's end orders it.
  std::shared_ptr<std::atomic<nanoseconds::rep>> held;

  Clock::time_point since;

  static Pending Set(Part& part, const ThreadRef& thread,
                     const std::shared_ptr<Shared>& shared) {
    auto held = std::make_shared<std::atomic<nanoseconds::rep>>(0);
    UpdateRequest request = instar::SetUpdateFunction(
        thread,
        [shared, held](UpdateContext& context) {
          // Not waited for: who has it may wait for this thread to stop.
          std::unique_lock<std::mutex> lock(shared->lock, std::try_to_lock);
          if (!lock.owns_lock()) {
            return Attempt::NotYet(
                "its update function runs in another thread of this name");
          }
          const Clock::time_point begin = Clock::now();
          Attempt attempt = shared->function(context);
          const nanoseconds took = Clock::now() - begin;
          held->store(took.count(), std::memory_order_relaxed);
          return attempt;
        },
        part.options);
    return {&part, thread, std::move(request), std::move(held), Clock::now()};
  }

  absl::Status result() const { return request.Await(nanoseconds(0)); }
  bool is_done() const { return request.is_finished() && result().ok(); }

  Blocker ToBlocker() const {
    const nanoseconds elapsed = Clock::now() - since;
    Blocker blocker;
    blocker.thread = thread.name();
    blocker.tid = thread.tid();
    blocker.since = elapsed;
    blocker.reason = request.reason();
    if (request.attempts() > 0) {
      if (blocker.reason.empty()) {
        blocker.reason = "it unwinds its stack, to be rebooted";
      }
      // What is its own of that.
      if (part->change == nullptr) return blocker;
      for (const Blocker& own : part->change->Blockers()) {
        if (own.tid != blocker.tid) continue;
        blocker.function = own.function;
        blocker.frame = own.frame;
        blocker.remedy = own.remedy;
      }
      return blocker;
    }
    blocker.reason = "it has come to no update point";
    if (const std::string& point = part->options.point; !point.empty()) {
      absl::StrAppend(&blocker.reason, " '", point, "'");
      const std::string unknown = RemarkOnUpdatePoint(point);
      if (!unknown.empty()) absl::StrAppend(&blocker.reason, "; ", unknown);
    }
    if (thread.state() == ThreadState::kBlocked) {
      blocker.reason += kWaitsInRegion;
      blocker.remedy = kGetItOut;
      return blocker;
    }
    blocker.remedy =
        "an UpdatePoint() in its loop, and Blocking() around calls that wait";
    if (elapsed < kGrace) return blocker;
    const std::vector<std::string> functions = WhereIs(thread.tid());
    if (functions.empty()) return blocker;
    blocker.function = functions.front();
    blocker.frame = 0;
    absl::StrAppend(&blocker.reason, "; it is in ",
                    absl::StrJoin(functions, " <- "));
    return blocker;
  }
};

std::string ThreadSchedule::Part::name() const {
  return is_started_here() ? what
                           : absl::StrCat("thread '", thread_name, "': ", what);
}

ThreadSchedule::ThreadSchedule(
    std::string name, std::vector<Part> parts, int stages,
    std::vector<std::function<Attempt()>> requirements)
    : run_(std::move(name)),
      stages_(stages),
      requirements_(std::move(requirements)),
      parts_(std::move(parts)) {}

ThreadSchedule::~ThreadSchedule() = default;

absl::Status ThreadSchedule::StartWatch(Clock::time_point until) {
  auto watch = std::make_shared<AuthorWatch>(
      until, [this] { return run_.is_cancelled(); });
  INSTAR_RETURN_IF_ERROR(watch->Start());
  std::lock_guard<std::mutex> lock(lock_);
  watch_ = std::move(watch);
  return absl::OkStatus();
}

void ThreadSchedule::EndWatch() {
  std::shared_ptr<AuthorWatch> watch;  // ends when the lock is free
  std::lock_guard<std::mutex> lock(lock_);
  watch = std::move(watch_);
}

absl::Status ThreadSchedule::Call(
    const std::string& what, absl::FunctionRef<absl::Status()> function) const {
  return watch_ == nullptr ? CallAuthor(function)
                           : watch_->Call(what, function);
}

absl::Status ThreadSchedule::PrepareParts(UpdateForecast& forecast) {
  for (const Part& part : parts_) {
    forecast.steps.push_back(part.name());
    if (!part.is_started_here()) {
      const absl::Status known = CheckThreadName(part.thread_name);
      if (!known.ok()) return In(part.name(), known);
    }
    std::string unknown = part.options.point.empty()
                              ? ""
                              : RemarkOnUpdatePoint(part.options.point);
    if (!unknown.empty()) {
      forecast.remarks.push_back(absl::StrCat(part.name(), ": ", unknown));
    }
    if (part.change == nullptr) continue;
    const absl::Status status = Call(
        "the preparation", [&] { return part.change->Prepare(&forecast); });
    if (!status.ok()) return In(part.name(), status);
  }
  return absl::OkStatus();
}

Attempt ThreadSchedule::Requirements() {
  std::vector<std::string> obstacles;
  for (const auto& requirement : requirements_) {
    Attempt attempt = Attempt::Done();
    absl::Status status = Call("a requirement", [&] {
      attempt = TryAuthor(requirement);
      return absl::OkStatus();
    });
    if (!status.ok()) return Attempt::Failed(std::move(status));  // given up
    if (attempt.is_failed()) {
      return Attempt::Failed(absl::FailedPreconditionError(attempt.reason()));
    }
    if (attempt.is_not_yet()) obstacles.push_back(attempt.reason());
  }
  return obstacles.empty() ? Attempt::Done()
                           : Attempt::NotYet(absl::StrJoin(obstacles, "; "));
}

absl::StatusOr<UpdateForecast> ThreadSchedule::Prepare() {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  UpdateForecast forecast;
  absl::Status status = PrepareParts(forecast);
  if (status.ok()) {
    const Attempt requirements = Requirements();
    status = requirements.status();
    if (requirements.is_not_yet()) {
      forecast.obstacles.push_back(requirements.reason());
    }
  }
  for (const Part& part : parts_) {
    if (part.is_started_here()) continue;
    if (ControlledThreads(part.thread_name).empty()) {
      forecast.obstacles.push_back(absl::StrCat(
          "there is no controlled thread '", part.thread_name, "'"));
    }
    if (part.undo == nullptr) {
      forecast.remarks.push_back(absl::StrCat(part.name(), " has no undo"));
    }
  }
  if (status.ok()) {
    forecast.can_undo = AskCanUndo();
    forecast.lost_by_undo = LostByUndo();
  }
  run_.End(status.ok() ? UpdatePhase::kPrepared : UpdatePhase::kNew);
  if (!status.ok()) return status;
  return forecast;
}

absl::Status ThreadSchedule::Apply(const ApplyOptions& options) {
  const UpdatePhase before = run_.phase();
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  absl::Status status =
      StartWatch(DeadlineAfter(run_.begin(), options.timeout));
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  if (!status.ok()) {
    run_.End(before);
    return status;
  }
  UpdateForecast forecast;
  status = PrepareParts(forecast);
  if (!status.ok()) {
    run_.End(UpdatePhase::kNew);
    return status;
  }
  status = Run(Direction::kApply, options);
  run_.End(status.ok() ? UpdatePhase::kApplied : UpdatePhase::kPrepared);
  return status;
}

absl::Status ThreadSchedule::CanUndo() const {
  if (run_.phase() != UpdatePhase::kApplied) {
    return absl::FailedPreconditionError(
        absl::StrCat("update '", name(), "' is not applied"));
  }
  const absl::Status status = AskCanUndo();
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("update '", name(),
                                   "' cannot be undone: ", status.message()));
}

absl::Status ThreadSchedule::AskCanUndo() const {
  for (const Part& part : parts_) {
    std::string why_not;
    if (part.change != nullptr) {
      const absl::Status status = part.change->CanUndo();
      if (!status.ok()) why_not = absl::StrCat(": ", status.message());
    } else if (part.undo == nullptr) {
      why_not = " has no undo";
    }
    if (why_not.empty()) continue;
    return absl::FailedPreconditionError(absl::StrCat(part.name(), why_not));
  }
  return absl::OkStatus();
}

std::vector<std::string> ThreadSchedule::LostByUndo() const {
  std::vector<std::string> all;
  for (const Part& part : parts_) {
    if (part.change == nullptr) continue;
    for (const std::string& lost : part.change->LostByUndo()) {
      all.push_back(
          part.is_started_here()
              ? lost
              : absl::StrCat("thread '", part.thread_name, "': ", lost));
    }
  }
  return all;
}

absl::Status ThreadSchedule::Undo(const ApplyOptions& options) {
  INSTAR_RETURN_IF_ERROR(CanUndo());
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kApplied));
  absl::Status status =
      StartWatch(DeadlineAfter(run_.begin(), options.timeout));
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  if (status.ok()) status = Run(Direction::kUndo, options);
  run_.End(status.ok() ? UpdatePhase::kPrepared : UpdatePhase::kApplied);
  return status;
}

// --- A rehearsal.

absl::StatusOr<std::vector<Blocker>> ThreadSchedule::Rehearse(
    const ApplyOptions& options) {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  UpdateForecast forecast;
  absl::Status status = PrepareParts(forecast);
  if (!status.ok()) {
    run_.End(UpdatePhase::kNew);
    return status;
  }
  const absl::Cleanup end = [this] { run_.End(UpdatePhase::kPrepared); };
  INSTAR_RETURN_IF_ERROR(StartWatch(DeadlineAfter(kRehearsedCode)));
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  if (options.remarks != nullptr) options.remarks->clear();
  std::vector<Blocker> blockers;
  const Attempt requirements = Requirements();
  if (requirements.is_failed()) return requirements.status();
  if (requirements.is_not_yet()) {
    blockers.emplace_back().reason = requirements.reason();
    return blockers;
  }
  const Way way{
      Direction::kApply, Clock::time_point::max(), options.threads, false, {}};
  for (const Part& part : parts_) {
    if (part.is_started_here()) {
      if (part.is_started || options.without_stacks) continue;
      INSTAR_ASSIGN_OR_RETURN(std::vector<Blocker> found, part.change->Check());
      if (found.empty()) continue;
      found = In(part.what, std::move(found), Attempt::Done());
      std::move(found.begin(), found.end(), std::back_inserter(blockers));
      continue;
    }
    INSTAR_ASSIGN_OR_RETURN(const std::vector<ThreadRef> threads,
                            ThreadsOf(way, part));
    if (threads.empty()) {
      blockers.push_back(NoSuchThread(part.thread_name, part.what));
    }
    if (part.change == nullptr && options.remarks != nullptr) {
      options.remarks->push_back(absl::StrCat(
          part.name(), ": what it waits for itself is known when it is tried"));
    }
    if (options.without_stacks) continue;
    for (const ThreadRef& thread : threads) {
      if (Contains(part.done_in, thread)) continue;
      INSTAR_RETURN_IF_ERROR(CheckInThread(part, thread, options, blockers));
    }
  }
  return blockers;
}

absl::Status ThreadSchedule::CheckInThread(const Part& part,
                                           const ThreadRef& thread,
                                           const ApplyOptions& options,
                                           std::vector<Blocker>& blockers) {
  std::vector<Blocker> found;
  if (thread.state() == ThreadState::kBlocked &&
      !part.options.interrupt_blocking_calls) {
    Blocker& blocker = found.emplace_back();
    blocker.thread = thread.name();
    blocker.tid = thread.tid();
    blocker.reason =
        absl::StrCat("it comes to no update point", kWaitsInRegion);
    blocker.remedy = kGetItOut;
  } else if (part.change != nullptr) {
    INSTAR_ASSIGN_OR_RETURN(found,
                            part.change->CheckIn(thread, part.options.point));
  } else {
    // Only whether it comes.
    StopOptions stop;
    stop.limit = std::min<nanoseconds>(options.timeout, kRehearsalLimit);
    stop.threads = std::vector<ThreadRef>{thread};
    stop.point = part.options.point;
    Obstacles obstacles(/*most=*/1);
    StoppedWorld world(std::move(stop));
    world.Stop(obstacles);
    world.Release();
    if (!obstacles.failure().ok()) return obstacles.failure();
    found = obstacles.ToBlockers();
  }
  if (found.empty()) return absl::OkStatus();
  found = In(part.what, std::move(found), Attempt::Done());
  std::move(found.begin(), found.end(), std::back_inserter(blockers));
  return absl::OkStatus();
}

// --- The change.

absl::Status ThreadSchedule::AwaitRequirements(const Way& way) {
  nanoseconds pause = kFirstPause;
  while (true) {
    const Attempt attempt = Requirements();
    SetObstacles(attempt.is_not_yet()
                     ? std::vector<std::string>{attempt.reason()}
                     : std::vector<std::string>());
    if (!attempt.is_not_yet()) return attempt.status();
    INSTAR_RETURN_IF_ERROR(Pause(way, pause));
    pause = std::min(2 * pause, kLastPause);
  }
}

absl::Status ThreadSchedule::Run(Direction direction,
                                 const ApplyOptions& options) {
  const auto stage_at = [&](int i) {
    return direction == Direction::kApply ? i : stages_ - 1 - i;
  };
  Way way{direction,
          DeadlineAfter(run_.begin(), options.timeout),
          options.threads,
          false,
          {}};
  held_.clear();
  for (Part& part : parts_) {
    part.changed_in.clear();
    part.is_changed_here = false;
  }
  absl::Status status = absl::OkStatus();
  if (direction == Direction::kApply) status = AwaitRequirements(way);
  int begun = 0;
  while (status.ok() && begun < stages_) {
    has_begun_.store(true, std::memory_order_relaxed);
    status = RunStage(way, stage_at(begun++));
  }
  if (status.ok()) {
    std::lock_guard<std::mutex> lock(lock_);
    hold_times_ = HoldTimesOf(held_);
    return status;
  }
  const bool applies = direction == Direction::kApply;
  Way back{applies ? Direction::kUndo : Direction::kApply,
           Clock::now() + std::max(options.timeout, kLeastTimeToTakeBack),
           options.threads, true, std::move(way.failures)};
  while (begun > 0) {
    // Nothing but its own failures, which are kept there.
    static_cast<void>(RunStage(back, stage_at(--begun)));
  }
  if (back.failures.empty()) return status;
  return absl::DataLossError(absl::StrCat(
      status.message(), "; and what had been ", applies ? "done" : "undone",
      " could not be ", applies ? "taken back: " : "put back: ",
      absl::StrJoin(back.failures, "; ")));
}

absl::Status ThreadSchedule::RunStage(Way& way, int stage) {
  if (way.direction == Direction::kUndo) {
    INSTAR_RETURN_IF_ERROR(RunInThreads(way, stage));
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
      if (part->stage != stage || !part->is_started_here()) continue;
      INSTAR_RETURN_IF_ERROR(RunHere(way, *part));
    }
    return absl::OkStatus();
  }
  for (Part& part : parts_) {
    if (part.stage != stage || !part.is_started_here()) continue;
    INSTAR_RETURN_IF_ERROR(RunHere(way, part));
  }
  return RunInThreads(way, stage);
}

absl::Status ThreadSchedule::RunHere(Way& way, Part& part) {
  const bool applies = way.direction == Direction::kApply;
  if (part.is_started == applies) return absl::OkStatus();
  if (way.takes_back && !part.is_changed_here) return absl::OkStatus();
  nanoseconds pause = kFirstPause;
  absl::Status status = Guard(way);
  while (status.ok()) {
    Attempt attempt = Attempt::Done();
    status = watch_->Call(
        part.name(),
        [&] {
          attempt = applies ? part.change->Apply() : part.change->Undo();
          return absl::OkStatus();
        },
        kLeastTimeToTakeBack);
    run_.CountAttempts(1);
    if (attempt.is_done()) {
      SetObstacles({});
      part.is_started = applies;
      part.is_changed_here = !way.takes_back;
      // If it was given up it is taken back.
      return way.takes_back ? absl::OkStatus() : status;
    }
    if (attempt.is_failed()) {
      status = In(part.name(), attempt.status());
    } else {
      run_.SetBlockers(In(part.what, part.change->Blockers(), attempt));
      status = Pause(way, pause);
      pause = std::min(2 * pause, kLastPause);
    }
  }
  SetObstacles({});
  if (!way.takes_back) return status;
  way.failures.emplace_back(status.message());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ThreadRef>> ThreadSchedule::ThreadsOf(
    const Way& way, const Part& part) const {
  std::vector<ThreadRef> all;
  if (way.threads == nullptr) {
    all = ControlledThreads();
  } else {
    INSTAR_RETURN_IF_ERROR(Call("what says which threads there are", [&] {
      all = way.threads();
      return absl::OkStatus();
    }));
  }
  std::vector<ThreadRef> named;
  for (ThreadRef& thread : all) {
    if (thread.name() == part.thread_name && !HasEnded(thread)) {
      named.push_back(std::move(thread));
    }
  }
  const bool applies = way.direction == Direction::kApply;
  if (applies && !way.takes_back) return named;
  std::vector<ThreadRef> left;
  for (const ThreadRef& thread :
       way.takes_back ? part.changed_in : part.done_in) {
    if (!HasEnded(thread)) left.push_back(thread);
  }
  return left.empty() ? named : left;
}

absl::StatusOr<std::vector<ThreadSchedule::Pending>>
ThreadSchedule::FindThreads(Way& way, int stage) {
  const bool applies = way.direction == Direction::kApply;
  std::vector<Part*> parts;
  for (Part& part : parts_) {
    if (part.stage != stage || part.is_started_here()) continue;
    if (way.takes_back ? part.changed_in.empty()
                       : !applies && part.done_in.empty()) {
      continue;
    }
    if (!applies && part.undo == nullptr) {
      way.failures.push_back(
          absl::StrCat(part.name(), " stays in effect: it has no undo"));
      continue;
    }
    parts.push_back(&part);
  }
  if (!applies) std::reverse(parts.begin(), parts.end());
  absl::Status status;
  for (bool is_first = true;; is_first = false) {
    std::vector<std::pair<Part*, ThreadRef>> found;
    std::vector<std::string> obstacles;
    for (Part* const part : parts) {
      const absl::StatusOr<std::vector<ThreadRef>> threads =
          ThreadsOf(way, *part);
      if (!threads.ok()) {
        if (way.takes_back)
          way.failures.emplace_back(threads.status().message());
        return threads.status();
      }
      if (threads->empty()) {
        obstacles.push_back(
            absl::StrCat(part->name(), ": there is no controlled thread '",
                         part->thread_name, "'",
                         ControlledThreads(part->thread_name).empty()
                             ? ""
                             : " that is registered with the manager"));
      }
      for (const ThreadRef& thread : *threads) {
        if (applies && Contains(part->done_in, thread)) continue;
        found.emplace_back(part, thread);
      }
    }
    const bool complete = obstacles.empty();
    if (!complete) SetObstacles(obstacles);
    // The first time, too, it is said what is in the way.
    if (is_first) status = Guard(way);
    if (!status.ok() && !way.takes_back) return status;
    if (complete || !status.ok()) {
      for (std::string& obstacle : obstacles) {
        way.failures.push_back(std::move(obstacle));
      }
      SetObstacles({});
      std::vector<Pending> pending;
      for (auto& [part, thread] : found) {
        pending.push_back(
            Pending::Set(*part, thread, applies ? part->function : part->undo));
      }
      return pending;
    }
    status = Pause(way, kLastPause);
  }
}

absl::Status ThreadSchedule::RunInThreads(Way& way, int stage) {
  INSTAR_ASSIGN_OR_RETURN(std::vector<Pending> found, FindThreads(way, stage));
  {
    std::lock_guard<std::mutex> lock(lock_);
    pending_ = std::move(found);
  }
  for (Pending& pending : pending_) pending.request.Trigger();
  absl::Status status = AwaitAll(way);
  const Clock::time_point until = Clock::now() + kLeastTimeToTakeBack;
  for (Pending& pending : pending_) {
    while (!pending.request.Cancel() && !pending.request.is_finished() &&
           Clock::now() < until) {
      // It is just being called, or the thread unwinds its stack.
      static_cast<void>(pending.request.Await(kLook));
    }
  }
  const bool all_done =
      std::all_of(pending_.begin(), pending_.end(),
                  [](const Pending& pending) { return pending.is_done(); });
  if (all_done && absl::IsDeadlineExceeded(status)) status = absl::OkStatus();
  ForgetRequests(way);
  return way.takes_back ? absl::OkStatus() : status;
}

absl::Status ThreadSchedule::AwaitAll(const Way& way) {
  const auto failure = [this] {
    for (const Pending& pending : pending_) {
      if (!pending.request.is_finished()) continue;
      const absl::Status result = pending.result();
      if (!result.ok()) return In(pending.part->name(), result);
    }
    return absl::OkStatus();
  };
  for (const Pending& pending : pending_) {
    while (!pending.request.is_finished()) {
      static_cast<void>(pending.request.Await(kLook));
      if (pending.request.is_finished()) break;
      if (!way.takes_back) INSTAR_RETURN_IF_ERROR(failure());
      INSTAR_RETURN_IF_ERROR(Guard(way));
    }
  }
  return way.takes_back ? absl::OkStatus() : failure();
}

void ThreadSchedule::ForgetRequests(Way& way) {
  const bool applies = way.direction == Direction::kApply;
  std::vector<Pending> pending;
  {
    std::lock_guard<std::mutex> lock(lock_);
    pending.swap(pending_);
    for (const Pending& p : pending) run_.CountAttempts(p.request.attempts());
  }
  for (const Pending& p : pending) {
    if (!p.request.is_finished()) {
      way.failures.push_back(
          absl::StrCat(p.part->name(),
                       " was being called and has not returned: it may still "
                       "take effect"));
      continue;
    }
    if (!p.is_done()) {
      if (!way.takes_back) continue;
      way.failures.emplace_back(In(p.part->name(), p.result()).message());
      continue;
    }
    held_.emplace_back(p.held->load(std::memory_order_relaxed));
    if (!way.takes_back) p.part->changed_in.push_back(p.thread);
    std::vector<ThreadRef>& done_in = p.part->done_in;
    if (applies) {
      done_in.push_back(p.thread);
      continue;
    }
    // Threads that have ended keep nothing.
    done_in.erase(std::remove_if(done_in.begin(), done_in.end(),
                                 [&](const ThreadRef& thread) {
                                   return thread == p.thread ||
                                          HasEnded(thread);
                                 }),
                  done_in.end());
  }
}

// --- Waiting, and what others see.

absl::Status ThreadSchedule::Guard(const Way& way) const {
  if (!way.takes_back && run_.is_cancelled()) {
    return absl::CancelledError("the update was cancelled");
  }
  if (Clock::now() >= way.until)
    return run_.TimeIsUp(way.direction, Progress());
  return absl::OkStatus();
}

absl::Status ThreadSchedule::Pause(const Way& way, nanoseconds duration) {
  run_.WaitUntil(std::min(way.until, Clock::now() + duration),
                 /*can_be_cancelled=*/!way.takes_back);
  return Guard(way);
}

void ThreadSchedule::SetObstacles(const std::vector<std::string>& obstacles) {
  std::vector<Blocker> blockers;
  for (const std::string& obstacle : obstacles) {
    blockers.emplace_back().reason = obstacle;
  }
  run_.SetBlockers(std::move(blockers));
}

absl::Status ThreadSchedule::Begin(UpdatePhase required) {
  INSTAR_RETURN_IF_ERROR(run_.Begin(required));
  run_.Enter(UpdatePhase::kWaiting);
  has_begun_.store(false, std::memory_order_relaxed);
  SetObstacles({});
  return absl::OkStatus();
}

UpdateProgress ThreadSchedule::Progress() const {
  UpdateProgress progress = run_.Progress();
  std::vector<Pending> pending;
  std::shared_ptr<AuthorWatch> watch;
  {
    std::lock_guard<std::mutex> lock(lock_);
    watch = watch_;
    pending = pending_;
  }
  // Without the lock: a thread's stack is looked at.
  for (const Pending& p : pending) {
    progress.attempts += p.request.attempts();
    if (p.request.is_finished()) continue;
    progress.blockers.push_back(p.ToBlocker());
  }
  const std::string running = watch == nullptr ? "" : watch->running();
  if (running.empty()) return progress;
  progress.phase = UpdatePhase::kBroken;
  progress.is_unchanged = !has_begun_.load(std::memory_order_relaxed);
  progress.blockers.clear();
  progress.blockers.emplace_back().reason = absl::StrCat(
      running, "; ",
      progress.is_unchanged ? "nothing was changed"
                            : "the state of the program is unknown");
  return progress;
}

HoldTimes ThreadSchedule::hold_times() const {
  std::lock_guard<std::mutex> lock(lock_);
  return hold_times_;
}

}  // namespace updates_internal
}  // namespace instar
