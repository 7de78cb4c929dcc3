// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/rehearsal.h"

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/linux/deadline.h"
#include "base/linux/own_thread.h"
#include "base/linux/tasks.h"
#include "base/status_macros.h"
#include "stack/activity.h"
#include "stack/function_set.h"
#include "stack/interrupted_thread.h"
#include "stack/stack_snapshot.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/pacing.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// For how long all of them are waited for at most.
constexpr nanoseconds kLimitOfAll = std::chrono::seconds(2);
// To see where others are: how long a signal may take, and what of a stack is
// looked at.
constexpr nanoseconds kSignalLimit = milliseconds(20);
constexpr std::size_t kCopiedStack = 256 << 10;

void AddNew(std::vector<Blocker> found, std::vector<Blocker>& blockers) {
  for (Blocker& blocker : found) {
    const bool is_known =
        std::any_of(blockers.begin(), blockers.end(), [&](const Blocker& b) {
          return b.tid == blocker.tid && b.reason == blocker.reason;
        });
    if (!is_known) blockers.push_back(std::move(blocker));
  }
}

Blocker NotAsked(const ThreadRef& thread) {
  Blocker blocker;
  blocker.thread = thread.name();
  blocker.tid = thread.tid();
  blocker.reason = absl::StrCat(
      "it was not asked, because that had taken ",
      std::chrono::duration_cast<milliseconds>(kLimitOfAll).count(),
      " ms for others");
  return blocker;
}

std::string Unknown(pid_t tid, absl::string_view because) {
  return absl::StrCat("thread '", PlainNameOf(tid), "' (", tid,
                      ") could not be looked at, because ", because);
}

absl::StatusOr<Rehearsal> AskEach(Transition& transition,
                                  const RehearsalOptions& options,
                                  bool thorough, bool& is_active) {
  Rehearsal rehearsal;
  const Clock::time_point until = DeadlineAfter(kLimitOfAll);
  // The caller's own stacks are looked at each time, and if there is no thread.
  std::vector<std::vector<ThreadRef>> groups;
  for (const ThreadRef& thread : options.threads) groups.push_back({thread});
  if (groups.empty() || options.stacks != Stacks::kControlledThreads) {
    groups.resize(1);
  }
  bool is_first = true;
  for (std::vector<ThreadRef>& group : groups) {
    if (!std::exchange(is_first, false) && Clock::now() >= until) {
      for (const ThreadRef& thread : group) {
        rehearsal.blockers.push_back(NotAsked(thread));
      }
      continue;
    }
    Transition::TryOptions attempt_options;
    StopOptions& stop = attempt_options.stop;
    stop.stacks = options.stacks;
    stop.limit = std::clamp<nanoseconds>(
        until - Clock::now(), milliseconds(1),
        std::max<nanoseconds>(kFairLimit,
                              std::min(options.limit, kRehearsalLimit)));
    stop.point = options.point;
    stop.points = options.points;
    stop.threads = std::move(group);
    attempt_options.thorough = thorough;
    Obstacles obstacles(Obstacles::kMany);
    const Attempt attempt =
        transition.Try(Direction::kCheck, std::move(attempt_options),
                       /*retries=*/nullptr, obstacles);
    if (attempt.is_failed()) return attempt.status();
    is_active |= obstacles.has_active();
    AddNew(obstacles.ToBlockers(), rehearsal.blockers);
  }
  if (options.looks_at_others) {
    rehearsal.others = LookAtOthers(transition, options.threads);
    is_active |= !rehearsal.others.inside.empty();
  }
  return rehearsal;
}

}  // namespace

absl::StatusOr<Rehearsal> Rehearse(Transition& transition,
                                   const RehearsalOptions& options) {
  bool is_active = false;
  INSTAR_ASSIGN_OR_RETURN(
      Rehearsal rehearsal,
      AskEach(transition, options, /*thorough=*/false, is_active));
  if (!is_active) return rehearsal;
  // In functions that may not all have been known.
  return AskEach(transition, options, /*thorough=*/true, is_active);
}

OtherThreadsSeen LookAtOthers(const Transition& transition,
                              absl::Span<const ThreadRef> threads) {
  std::vector<const WatchedFunctions*> all_watched;
  for (const auto& watched : transition.watched()) {
    if (!watched->is_empty()) all_watched.push_back(&*watched);
  }
  if (all_watched.empty()) return {};
  std::vector<pid_t> known = {static_cast<pid_t>(syscall(SYS_gettid))};
  for (const ThreadRef& thread : threads) known.push_back(thread.tid());
  std::vector<pid_t> others;
  VisitTasks([&](pid_t tid) {
    if (std::find(known.begin(), known.end(), tid) == known.end() &&
        !IsOwnThread(tid)) {
      others.push_back(tid);
    }
    return true;
  });
  const Clock::time_point until = DeadlineAfter(kLimitOfAll);
  std::vector<char> room(kCopiedStack);
  OtherThreadsSeen seen;
  for (std::size_t i = 0; i < others.size(); ++i) {
    const pid_t tid = others[i];
    if (Clock::now() >= until) {
      seen.unknown.push_back(
          absl::StrCat(Unknown(tid, "that had taken too long for others"),
                       "; nor could ", others.size() - i - 1, " more"));
      break;
    }
    const absl::StatusOr<StackSnapshot> copy =
        CopyThread(tid, kSignalLimit, room.data(), room.size());
    if (absl::IsNotFound(copy.status())) continue;  // it has ended
    if (!copy.ok()) {
      seen.unknown.push_back(Unknown(tid, copy.status().message()));
      continue;
    }
    std::string why_not;
    bool is_inside = false;
    for (const WatchedFunctions* const watched : all_watched) {
      const Activity activity = watched->FindOn(*copy);
      if (activity.kind == ActivityKind::kUnknown) {
        why_not = absl::StrCat("its stack is not known to its end: ",
                               activity.walk.ToString());
      }
      if (activity.kind != ActivityKind::kActive) continue;
      is_inside = true;
      Blocker& blocker = seen.inside.emplace_back();
      blocker.thread = PlainNameOf(tid);
      blocker.tid = tid;
      blocker.function = watched->NameOf(activity);
      blocker.frame = activity.depth;
      blocker.reason = watched->Describe(activity);
      blocker.remedy =
          "wait until it returns; if it never does, register the thread, and "
          "let the update reboot it";
      break;
    }
    if (!is_inside && !why_not.empty()) {
      seen.unknown.push_back(Unknown(tid, why_not));
    }
  }
  return seen;
}

}  // namespace updates_internal
}  // namespace instar
