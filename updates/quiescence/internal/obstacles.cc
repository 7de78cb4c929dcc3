// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/internal/obstacles.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/signal_reach.h"
#include "base/linux/system_threads.h"
#include "base/linux/tasks.h"
#include "stack/interrupted_thread.h"
#include "threads/known_names.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "updates/quiescence/internal/own_stacks.h"

namespace instar {
namespace updates_internal {

std::string PlainNameOf(pid_t tid) {
  for (const ThreadRef& thread : ControlledThreads()) {
    if (thread.tid() == tid) return thread.name();
  }
  char name[32];  // with a newline
  if (!ReadTaskFile(tid, "comm", name, sizeof(name))) return "";
  return std::string(absl::StripTrailingAsciiWhitespace(name));
}

namespace {

std::string WhyNotTraced(const Obstacle& obstacle) {
  return obstacle.refusal.call == nullptr
             ? "it does not stop for that either"
             : TracedThreads::ToString(obstacle.refusal);
}

Blocker ToBlocker(const MissingThread& missing, const std::string& point) {
  Blocker blocker;
  blocker.thread = missing.thread.name();
  blocker.tid = missing.thread.tid();
  if (!missing.functions.empty()) {
    blocker.function = missing.functions.front();
    blocker.frame = 0;
  }
  // Which point it is at is not known: of a named one it is not said to be
  // late, since it may pass another one again and again.
  const bool is_late =
      point.empty() && (missing.state == ThreadState::kAtUpdatePoint ||
                        missing.state == ThreadState::kInUpdateFunction);
  blocker.reason =
      is_late ? "it is at an update point, and was not run in time"
      : point.empty()
          ? "it comes to no update point"
          : absl::StrCat("it comes to no update point '", point, "'");
  if (!missing.functions.empty()) {
    absl::StrAppend(&blocker.reason, "; it is in ",
                    absl::StrJoin(missing.functions, " <- "));
  }
  const std::string unknown =
      point.empty() ? "" : threads_internal::RemarkOnUpdatePoint(point);
  if (!unknown.empty()) absl::StrAppend(&blocker.reason, "; ", unknown);
  blocker.remedy = is_late ? "wait: the machine is busy"
                           : "an UpdatePoint() in its loop, and Blocking() "
                             "around calls that wait";
  return blocker;
}

Blocker ToBlocker(const Obstacle& obstacle) {
  Blocker blocker;
  if (obstacle.tid != 0) {
    blocker.tid = obstacle.tid;
    blocker.thread = PlainNameOf(obstacle.tid);
  }
  switch (obstacle.kind) {
    case Obstacle::Kind::kActive:
      blocker.reason = obstacle.watched->Describe(obstacle.activity);
      if (obstacle.continulet[0] != '\0') {
        absl::StrAppend(&blocker.reason, ", in continulet '",
                        obstacle.continulet, "'");
      }
      if (obstacle.is_own) {
        absl::StrAppend(&blocker.reason, ", on the thread that updates");
      }
      if (obstacle.activity.kind == ActivityKind::kActive) {
        blocker.function = obstacle.watched->NameOf(obstacle.activity);
        blocker.frame = obstacle.activity.depth;
        blocker.remedy = obstacle.is_own
                             ? "apply the update from another function"
                             : "wait until it returns; if it never does, let "
                               "the update reboot the thread";
      } else if (!obstacle.is_own) {
        blocker.remedy = "wait until it is elsewhere";
      }
      break;
    case Obstacle::Kind::kSwitching:
      blocker.reason =
          "it was stopped while it ran and has continulets: it may be in the "
          "middle of a switch";
      break;
    case Obstacle::Kind::kDidNotStop: {
      const int signal = InterruptionSignal().value_or(0);
      const SignalReach reach = ReachOf(obstacle.tid, signal);
      if (reach == SignalReach::kHandled) {
        blocker.reason = "it did not stop in time: it was not run";
        break;
      }
      const bool is_awaited = reach == SignalReach::kAwaited;
      blocker.reason = absl::StrCat(
          "it did not stop in time: it ",
          is_awaited ? "waits for (sigwaitinfo() or the like)" : "blocks",
          " signal ", signal,
          ", by which threads are stopped, and it cannot be traced (",
          WhyNotTraced(obstacle), "), so that its stack cannot be looked at");
      if (is_awaited) {
        blocker.remedy =
            "let it wait for the signals that it handles, without "
            "InterruptionSignal()";
        break;
      }
      if (IsThreadOfTimers(obstacle.tid)) {
        absl::StrAppend(&blocker.reason,
                        "; glibc starts threads by it, of timers "
                        "(SIGEV_THREAD), as long as the program runs");
        blocker.remedy =
            "end what forbids tracing; or let the program's timers send a "
            "signal or be read (SIGEV_SIGNAL, timerfd_create), and restart it";
        break;
      }
      blocker.remedy =
          "let it unblock InterruptionSignal() and SIGTRAP "
          "(pthread_sigmask); or, if it never calls what is changed, SIGTRAP "
          "alone, and choose kControlledThreads, in a plan "
          "OnlyRegisteredThreads()";
      break;
    }
    case Obstacle::Kind::kFiltered:
      blocker.reason = absl::StrCat(
          "it has seccomp filters that the thread which updates has not, so "
          "that it is not stopped by a signal: they might end the process for "
          "a system call of the handler; and it cannot be traced (",
          WhyNotTraced(obstacle), "), so that its stack cannot be looked at");
      blocker.remedy =
          "end what forbids tracing; or lay the filter before threads are "
          "started, or on all of them (SECCOMP_FILTER_FLAG_TSYNC)";
      break;
    case Obstacle::Kind::kListIsLocked:
      blocker.reason =
          "a thread has just begun, or ceased, to have continulets";
      break;
    case Obstacle::Kind::kTooDeep:
      blocker.reason = TooDeep();
      break;
    case Obstacle::Kind::kNotSent:
      blocker.reason =
          "no signal can be sent to it: too many are queued "
          "(RLIMIT_SIGPENDING), or there is no memory";
      break;
    case Obstacle::Kind::kSignalIsTaken:
      blocker.reason = absl::StrCat(
          "threads cannot be stopped: signal ",
          InterruptionSignal().value_or(0),
          ", by which they are, has a handler of the program, which was "
          "installed since the signal was chosen; none was sent");
      blocker.remedy =
          "let the program install a handler for no signal that has one "
          "already, nor for InterruptionSignal()";
      break;
    case Obstacle::Kind::kNoTurn:
      blocker.reason =
          "another thread holds threads, and did not let them go in time";
      break;
    case Obstacle::Kind::kMayAllocate:
      blocker.reason =
          "it may own a lock of the allocator, or of the dynamic linker, and "
          "the update's own code may need that";
      break;
    case Obstacle::Kind::kOwnsLock:
      blocker.reason =
          obstacle.tid == 0
              ? "a thread was about to ask one that is held for something"
              : "it makes or destroys an object of an updatable class";
      break;
    case Obstacle::Kind::kNoList:
      blocker.reason =
          "the threads of the process cannot be listed: /proc/self/task is not "
          "readable";
      break;
  }
  return blocker;
}

}  // namespace

void Obstacles::Add(Obstacle::Kind kind, pid_t tid) {
  Obstacle obstacle;
  obstacle.kind = kind;
  obstacle.tid = tid;
  Add(obstacle);
}

void Obstacles::Add(const Obstacle& obstacle) {
  if (noted_.size() < most_) is_complete_ &= noted_.Add(obstacle);
}

void Obstacles::AddMissing(std::vector<MissingThread> missing,
                           absl::string_view point,
                           std::map<std::string, std::string> points) {
  missing_ = std::move(missing);
  point_ = std::string(point);
  points_ = std::move(points);
}

void Obstacles::AddReason(std::string reason) {
  others_.emplace_back().reason = std::move(reason);
}

bool Obstacles::has_active() const {
  return std::any_of(noted_.begin(), noted_.end(), [](const Obstacle& each) {
    return each.kind == Obstacle::Kind::kActive;
  });
}

bool Obstacles::needs_time() const {
  if (!missing_.empty()) return true;
  const int signal = InterruptionSignal().value_or(0);
  for (const Obstacle& each : noted_) {
    if (each.kind != Obstacle::Kind::kDidNotStop) continue;
    return ReachOf(each.tid, signal) == SignalReach::kHandled;
  }
  return false;
}

std::vector<Blocker> Obstacles::ToBlockers() const {
  std::vector<Blocker> blockers;
  for (const MissingThread& missing : missing_) {
    const auto own = points_.find(missing.thread.name());
    blockers.push_back(
        ToBlocker(missing, own == points_.end() ? point_ : own->second));
  }
  for (const Obstacle& obstacle : noted_) {
    blockers.push_back(ToBlocker(obstacle));
  }
  if (!is_complete_) {
    blockers.emplace_back().reason =
        "there is no memory to note what is on stacks";
  }
  blockers.insert(blockers.end(), others_.begin(), others_.end());
  return blockers;
}

Attempt Obstacles::ToAttempt() const {
  if (!failure_.ok()) return Attempt::Failed(failure_);
  if (empty()) return Attempt::Done();
  std::vector<std::string> sentences;
  for (const Blocker& blocker : ToBlockers()) {
    sentences.push_back(ToString(blocker));
  }
  return Attempt::NotYet(absl::StrJoin(sentences, "; "));
}

}  // namespace updates_internal
}  // namespace instar
