// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/stopped_world.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/linux/deadline.h"
#include "base/linux/own_thread.h"
#include "base/linux/tasks.h"
#include "base/system_call_code.h"
#include "continuation/paused_computations.h"
#include "continuation/paused_context.h"
#include "stack/interrupted_thread.h"
#include "stack/stack_walker.h"
#include "threads/internal/may_stay_interrupted.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/own_stacks.h"

namespace instar {
namespace {

using updates_internal::Obstacle;
using updates_internal::Obstacles;
using updates_internal::VisitOwnStack;
using Kind = Obstacle::Kind;
using State = InterruptedThreads::State;

// In addition to the limit, for each thread.
constexpr std::chrono::microseconds kStopLimitEach(100);

ForkMutex stopping_all;

#if defined(__SANITIZE_THREAD__)
#define INSTAR_HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define INSTAR_HAS_TSAN 1
#endif
#endif
#ifdef INSTAR_HAS_TSAN
constexpr bool kSignalsArrive = false;
#else
constexpr bool kSignalsArrive = true;
#endif

bool RunsInContinulet(const StackSnapshot& snapshot) {
  bool found = false;
  WalkStack(snapshot, [&](const Frame& frame) {
    found = IsContinuletBase(frame.pc);
    return !found;
  });
  return found;
}

}  // namespace

StoppedWorld::StoppedWorld(StopOptions options)
    : options_(std::move(options)),
      self_(static_cast<pid_t>(syscall(SYS_gettid))) {
  // Its first call on a thread allocates; the next ones are made while others
  // are held.
  StackOfThisThread();
}

StoppedWorld::~StoppedWorld() { Release(); }

bool StoppedWorld::Stop(Obstacles& obstacles) {
  if (StopsBySignal() && kSignalsArrive && InterruptionSignal().ok()) {
    InterruptedThreads::FindDeaf(options_.looks_for_deaf);
  }
  const bool has_stopped = StopThose(obstacles);
  if (has_stopped) all_stopped_ = Clock::now();
  return has_stopped;
}

bool StoppedWorld::StopThose(Obstacles& obstacles) {
  switch (options_.stacks) {
    case Stacks::kThisThread:
      return true;
    case Stacks::kControlledThreads:
      return StopControlled(obstacles);
    case Stacks::kAllThreads:
      return StopAll(obstacles);
  }
  return false;
}

bool StoppedWorld::StopControlled(Obstacles& obstacles) {
  const bool stops_others = options_.others_by_signal && kSignalsArrive;
  const absl::StatusOr<int> signal = InterruptionSignal();
  if (stops_others) PrepareForAuthorsCode();
  std::vector<MissingThread> missing;
  std::optional<Clock::time_point> released;
  RendezvousOptions options;
  options.limit = options_.limit;
  options.point = options_.point;
  options.needs = options_.needs;
  options.points = options_.points;
  options.first = options_.first;
  options.first_limit = options_.first_limit;
  options.missing = &missing;
  options.asked_all = &stopped_;
  options.released = &released;
  const auto& threads = options_.threads;
  if (options.first.has_value() && threads.has_value() &&
      std::find(threads->begin(), threads->end(), *options.first) ==
          threads->end()) {
    options.first.reset();
  }
  const bool has_first = options.first.has_value();
  absl::StatusOr<Rendezvous> rendezvous =
      threads.has_value() ? Rendezvous::Hold(*threads, std::move(options))
                          : Rendezvous::HoldAll(std::move(options));
  if (rendezvous.ok()) {
    rendezvous_ = *std::move(rendezvous);
    if (!stops_others || AreAllHeld()) return true;
    if (signal.ok()) return StopBySignal(obstacles);
    obstacles.Fail(signal.status());
    return false;
  }
  is_released_ = true;
  released_ = released.value_or(Clock::now());
  first_did_not_come_ = has_first && !stopped_.has_value();
  if (!absl::IsDeadlineExceeded(rendezvous.status())) {
    obstacles.Fail(rendezvous.status());
  } else if (first_did_not_come_ && !options_.late.empty()) {
    obstacles.AddMissing(options_.late, options_.point, options_.points);
  } else if (!missing.empty()) {
    obstacles.AddMissing(std::move(missing), options_.point, options_.points);
  } else {
    obstacles.AddReason(std::string(rendezvous.status().message()));
  }
  return false;
}

bool StoppedWorld::StopAll(Obstacles& obstacles) {
  const absl::StatusOr<int> signal = InterruptionSignal();
  if (!signal.ok()) {
    obstacles.Fail(signal.status());
    return false;
  }
  if (IsAuthorsCodePossible()) PrepareForAuthorsCode();
  // Whoever waits here can be stopped.
  turn_ = std::unique_lock<ForkMutex>(stopping_all);
  no_allocation_.emplace();
  return StopBySignal(obstacles);
}

void StoppedWorld::PrepareForAuthorsCode() {
  map_ = FunctionMap::Preload();
  unsafe_ = &threads_internal::UnsafeCode::Get();
}

const HeldThread* StoppedWorld::FindHeld(pid_t tid) const {
  for (const HeldThread& thread : threads()) {
    // One without stacks has not begun or has ended: the thread of the system
    // may run on, or be another one that has its number.
    if (thread.thread.tid() == tid && !thread.stacks.empty()) return &thread;
  }
  return nullptr;
}

// Whether there are no threads but the calling one, those that are held, and
// the library's own: by their number, which the system tells at once (the links
// of a folder are itself, its parent, and its folders). Each that is counted
// here is there, so that none can be overlooked.
bool StoppedWorld::AreAllHeld() const {
  const OwnThreads own = CountOwnThreads();
  std::size_t known = static_cast<std::size_t>(own.count) + 2;
  if (!IsOwnThread()) ++known;
  for (const HeldThread& thread : threads()) {
    if (!thread.stacks.empty()) ++known;
  }
  struct stat tasks;
  return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == known &&
         CountOwnThreads().changes == own.changes;
}

bool StoppedWorld::StopBySignal(Obstacles& obstacles) {
  // Those that are stopped start none: when all that are listed are stopped,
  // these are all.
  std::size_t before;
  do {
    before = interrupted_.held();
    if (!StopListed(obstacles)) return false;
  } while (interrupted_.held() != before);
  return !IsAuthorsCodePossible() || MayRunAuthorsCode(obstacles);
}

bool StoppedWorld::MayRunAuthorsCode(Obstacles& obstacles) const {
  for (const InterruptedThreads::Thread& thread : interrupted_) {
    if (thread.state != State::kHeld) continue;
    if (thread.in_library_code) {
      obstacles.Add(Kind::kOwnsLock, thread.tid);
      return false;
    }
    if (!threads_internal::OwnsNoLockOfAllocator(thread.snapshot, *map_,
                                                 *unsafe_)) {
      obstacles.Add(Kind::kMayAllocate, thread.tid);
      return false;
    }
  }
  if (rendezvous_.has_value() && !rendezvous_->OwnLocksAreFree()) {
    obstacles.Add(Kind::kOwnsLock, 0);
    return false;
  }
  return true;
}

bool StoppedWorld::StopListed(Obstacles& obstacles) {
  const auto fail = [&](Kind kind, pid_t tid) {
    obstacles.Add(kind, tid);
    return false;
  };
  bool has_memory = true;
  const bool listed = VisitTasks([&](pid_t tid) {
    if (FindHeld(tid) != nullptr) return true;
    if (IsAuthorsCodePossible() && IsOwnThread(tid)) return true;
    has_memory = interrupted_.Add(tid) || fail(Kind::kNotSent, tid);
    return has_memory;
  });
  if (!listed) return fail(Kind::kNoList, 0);
  if (!has_memory) return false;
  const Clock::time_point begin = Clock::now();
  if (!interrupted_.Hold(std::min(options_.limit, kLongestLimit) +
                             interrupted_.size() * kStopLimitEach,
                         InterruptedThreads::Deaf::kTrace)) {
    return fail(Kind::kNoTurn, 0);
  }
  if (interrupted_.size() > 0) {
    if (!stopped_.has_value()) stopped_ = begin;
    if (!interrupted_since_.has_value()) interrupted_since_ = begin;
  }
  for (const InterruptedThreads::Thread& thread : interrupted_) {
    if (thread.state == State::kNotTaken || thread.state == State::kFiltered) {
      Obstacle obstacle;
      obstacle.kind = thread.state == State::kFiltered ? Kind::kFiltered
                                                       : Kind::kDidNotStop;
      obstacle.tid = thread.tid;
      obstacle.refusal = interrupted_.refusal();
      obstacles.Add(obstacle);
      return false;
    }
    if (thread.state == State::kNotSent) {
      return fail(Kind::kNotSent, thread.tid);
    }
    if (thread.state == State::kSignalIsTaken) {
      return fail(Kind::kSignalIsTaken, 0);
    }
  }
  return true;
}

absl::Span<const HeldThread> StoppedWorld::threads() const {
  if (!rendezvous_.has_value()) return {};
  return rendezvous_->threads();
}

bool StoppedWorld::VisitOwn(absl::FunctionRef<bool(const Stack&)> visit,
                            Obstacles& obstacles) {
  bool goes_on = true;
  const auto visit_own = [&](const StackSnapshot& snapshot) {
    goes_on = goes_on && visit(Stack{self_, /*is_own=*/true, "", &snapshot});
  };
  if (options_.context != nullptr) {
    visit_own(options_.context->stack());
  } else if (!VisitOwnStack(visit_own)) {
    Obstacle obstacle;
    obstacle.kind = Kind::kTooDeep;
    obstacle.is_own = true;
    obstacle.tid = self_;
    obstacles.Add(obstacle);
    return false;
  }
  return goes_on;
}

bool StoppedWorld::VisitStacks(absl::FunctionRef<bool(const Stack&)> visit,
                               CountsFrom counts_from, Obstacles& obstacles) {
  if (!VisitOwn(visit, obstacles)) return obstacles.empty();
  bool goes_on = true;
  // The others of a held thread's stacks are its paused computations, which are
  // visited below, where they have names.
  for (const HeldThread& thread : threads()) {
    if (thread.stacks.empty()) continue;
    const std::uintptr_t from = counts_from(thread.thread);
    if (from == kNothingCounts) continue;
    goes_on = visit(
        Stack{thread.thread.tid(), false, "", &thread.stacks.front(), from});
    if (!goes_on) return true;
  }
  for (const InterruptedThreads::Thread& thread : interrupted_) {
    if (thread.state != State::kHeld) continue;
    if (!visit(Stack{thread.tid, false, "", &thread.snapshot})) return true;
    if (!IsAtSystemCall(thread.snapshot.pc) &&
        RunsInContinulet(thread.snapshot)) {
      obstacles.Add(Kind::kSwitching, thread.tid);
      return false;
    }
  }
  const auto visit_paused = [&](const PausedComputation& paused) {
    const StackSnapshot snapshot = SnapshotOf(paused.context);
    goes_on = goes_on && visit(Stack{paused.tid, paused.tid == self_,
                                     paused.continulet, &snapshot});
  };
  const auto counts = [&](const HeldThread& thread) {
    return !thread.stacks.empty() &&
           counts_from(thread.thread) != kNothingCounts;
  };
  if (rendezvous_.has_value() && interrupted_.held() == 0) {
    VisitPausedComputations(
        [&](int tid) {
          if (tid == self_) return true;
          const HeldThread* const thread = FindHeld(tid);
          return thread != nullptr && counts(*thread);
        },
        visit_paused);
    return true;
  }
  if (interrupted_.held() == 0) {
    // What other threads have is theirs, and they may be changing it.
    VisitPausedComputationsOfThisThread(visit_paused);
    return true;
  }
  bool is_settled = true;
  const bool is_visited = TryVisitPausedComputations(
      [&](int tid) {
        if (tid == self_) return true;
        if (const HeldThread* const thread = FindHeld(tid)) {
          return counts(*thread);
        }
        const InterruptedThreads::Thread* const held = interrupted_.Find(tid);
        if (held == nullptr || held->state != State::kHeld) return false;
        if (IsAtSystemCall(held->snapshot.pc)) return true;
        if (is_settled) obstacles.Add(Kind::kSwitching, tid);
        is_settled = false;
        return false;
      },
      visit_paused);
  if (!is_visited) obstacles.Add(Kind::kListIsLocked, 0);
  return is_visited && is_settled;
}

OtherThreads StoppedWorld::others() const {
  return options_.stacks == Stacks::kAllThreads && !IsAuthorsCodePossible()
             ? OtherThreads::kHeld
             : OtherThreads::kRunning;
}

void StoppedWorld::Release() {
  // First: they may own locks that the end of a rendezvous takes.
  interrupted_count_ += interrupted_.held();
  interrupted_.Release();
  if (rendezvous_.has_value()) rendezvous_->Release();
  no_allocation_.reset();
  if (turn_.owns_lock()) turn_.unlock();
  if (std::exchange(is_released_, true)) return;
  released_ = Clock::now();
}

void StoppedWorld::ReleaseByAnother() {
  interrupted_.Release();
  if (rendezvous_.has_value()) rendezvous_->ReleaseByAnother();
}

std::vector<std::chrono::nanoseconds> StoppedWorld::HoldTimes() const {
  std::vector<std::chrono::nanoseconds> times;
  if (rendezvous_.has_value()) times = rendezvous_->HoldTimes();
  if (interrupted_since_.has_value()) {
    times.insert(times.end(), interrupted_count_,
                 released_ - *interrupted_since_);
  }
  return times;
}

}  // namespace instar
