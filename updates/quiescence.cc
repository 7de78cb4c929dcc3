// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence.h"

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error_text.h"
#include "base/fork_mutex.h"
#include "base/linux/tasks.h"
#include "base/no_allocation.h"
#include "code/thread_survey.h"
#include "code/trap_handler.h"
#include "continuation/paused_computations.h"
#include "continuation/paused_context.h"
#include "stack/activity.h"
#include "stack/interrupted_thread.h"
#include "stack/interrupted_threads.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"
#include "updates/quiescence/own_stacks.h"

namespace instar {
namespace {

using Clock = std::chrono::steady_clock;

bool Blocks(pid_t tid, int signal) {
  return signal > 0 &&
         (SignalsBlockedBy(tid).value_or(0) >> (signal - 1) & 1) != 0;
}

// In addition to the limit, for each thread.
constexpr std::chrono::microseconds kStopLimitEach(100);

// Why the change must wait. Filled in while threads are stopped, so it owns no
// memory.
struct Obstacle {
  enum class Kind {
    kNone,
    kActive,        // or unknown: see `activity`
    kSwitching,     // the thread may be in the middle of a switch
    kDidNotStop,    // the thread did not take the signal
    kListIsLocked,  // a thread begins or ends having continulets
    kTooDeep,       // more continulets within continulets than we look at
    kNotSent,       // the signal
    kNoTurn,        // another thread holds threads
    kNoList,        // of threads
    kNoTraps,       // the thread blocks SIGTRAP, and others may start
    kTraced,        // by this process, and others may start
  };
  Kind kind = Kind::kNone;
  pid_t thread = 0;
  Activity activity;
  char continulet[40] = "";

  void SetActive(const Activity& found, pid_t tid, absl::string_view name) {
    kind = Kind::kActive;
    thread = tid;
    activity = found;
    const std::size_t size = std::min(name.size(), sizeof(continulet) - 1);
    std::memcpy(continulet, name.data(), size);
    continulet[size] = '\0';
  }
};

// Whether the thread was stopped in a system call: just behind the instruction,
// or before it if the kernel is going to restart the call.
bool IsInSystemCall(const StackSnapshot& snapshot) {
  const auto* const at = reinterpret_cast<const unsigned char*>(snapshot.rip);
  return (at[-2] == 0x0f && at[-1] == 0x05) || (at[0] == 0x0f && at[1] == 0x05);
}

bool RunsInContinulet(const StackSnapshot& snapshot) {
  bool found = false;
  WalkStack(snapshot, [&](const Frame& frame) {
    found = IsContinuletBase(frame.pc);
    return !found;
  });
  return found;
}

// The threads that are stopped by a signal, and what was found on the stacks.
// Allocates only when it is made.
class Look {
 public:
  Look(const FunctionSet& set, Stacks stacks, std::chrono::nanoseconds limit)
      : set_(set),
        stacks_(stacks),
        limit_(limit),
        self_(static_cast<pid_t>(syscall(SYS_gettid))) {}

  // Stops them, looks at their stacks, and looks for threads that have been
  // started since. True if it is the moment for the change.
  bool Prepare() {
    if (!StopThreads()) return false;
    std::size_t looked_at;
    do {
      looked_at = held_.held();
      if (!IsQuiescent()) return false;
      if (!held_.others_may_start()) return true;
      if (!StopThreads()) return false;
    } while (held_.held() != looked_at);
    return CanBeTrapped();
  }

  OtherThreads others() const {
    return stacks_ == Stacks::kAllThreads && !held_.others_may_start()
               ? OtherThreads::kHeld
               : OtherThreads::kRunning;
  }
  void Release() {
    held_.Release();
    released_ = Clock::now();
  }
  const Obstacle& obstacle() const { return obstacle_; }
  QuiescenceReport report() const {
    QuiescenceReport report;
    if (stopped_.has_value()) report.stopped = released_ - *stopped_;
    // Not for one that will never take the signal.
    report.was_too_short =
        obstacle_.kind == Obstacle::Kind::kDidNotStop &&
        !Blocks(obstacle_.thread, InterruptionSignal().value_or(0));
    return report;
  }

 private:
  // Stops all that are to be looked at. False if that was not possible.
  bool StopThreads() {
    if (stacks_ == Stacks::kThisThread) return true;
    // Those that are stopped start none: when all that are listed are stopped,
    // these are all, but for what timers start.
    std::size_t before;
    do {
      before = held_.held();
      if (!StopListed()) return false;
    } while (held_.held() != before);
    return true;
  }

  // True if the functions are quiescent on all stacks.
  bool IsQuiescent() {
    const auto look_at_own = [this](const StackSnapshot& stack) {
      LookAt(stack, self_, "");
    };
    if (!updates_internal::VisitOwnStack(look_at_own)) {
      return Fail(Obstacle::Kind::kTooDeep, self_);
    }
    if (obstacle_.kind != Obstacle::Kind::kNone) return false;
    for (const InterruptedThreads::Thread& held : held_) {
      if (held.state != InterruptedThreads::State::kHeld) continue;
      if (!LookAt(held.snapshot, held.tid, "")) return false;
      if (!IsInSystemCall(held.snapshot) && RunsInContinulet(held.snapshot)) {
        return Fail(Obstacle::Kind::kSwitching, held.tid);
      }
    }
    const auto look_at_paused = [this](const PausedComputation& paused) {
      if (obstacle_.kind != Obstacle::Kind::kNone) return;
      LookAt(SnapshotOf(paused.context), paused.tid, paused.continulet);
    };
    if (held_.held() == 0) {
      // What other threads have is theirs, and they may be changing it.
      VisitPausedComputationsOfThisThread(look_at_paused);
    } else if (!TryVisitPausedComputations(
                   [this](int tid) { return IsSettled(tid); },
                   look_at_paused)) {
      return Fail(Obstacle::Kind::kListIsLocked, 0);
    }
    return obstacle_.kind == Obstacle::Kind::kNone;
  }

  // Whether entries can be changed under traps. The change would find out, but
  // its message allocates.
  bool CanBeTrapped() {
    code_internal::ThreadSurvey survey;
    if (!code_internal::SurveyThreads(survey).ok()) {
      return Fail(Obstacle::Kind::kNoList, 0);
    }
    if (survey.blocks_trap != 0) {
      return Fail(Obstacle::Kind::kNoTraps, survey.blocks_trap);
    }
    if (survey.tracer != 0 && instar_patch_while_traced == 0) {
      return Fail(Obstacle::Kind::kTraced, survey.tracer);
    }
    return true;
  }

  bool Fail(Obstacle::Kind kind, pid_t thread) {
    obstacle_.kind = kind;
    obstacle_.thread = thread;
    return false;
  }

  bool StopListed() {
    bool stopped = true;
    const bool listed = VisitTasks([&](pid_t tid) {
      stopped = held_.Add(tid) || Fail(Obstacle::Kind::kNotSent, tid);
      return stopped;
    });
    if (!listed) return Fail(Obstacle::Kind::kNoList, 0);
    if (!stopped) return false;
    const Clock::time_point begin = Clock::now();
    if (!held_.Hold(limit_ + held_.size() * kStopLimitEach)) {
      return Fail(Obstacle::Kind::kNoTurn, 0);
    }
    if (!stopped_.has_value() && held_.size() > 0) stopped_ = begin;
    for (const InterruptedThreads::Thread& thread : held_) {
      if (thread.state == InterruptedThreads::State::kNotTaken) {
        return Fail(Obstacle::Kind::kDidNotStop, thread.tid);
      }
      if (thread.state == InterruptedThreads::State::kNotSent) {
        return Fail(Obstacle::Kind::kNotSent, thread.tid);
      }
    }
    return true;
  }

  // Whether the paused computations of this thread are to be looked at. Fails
  // if they are, and cannot be.
  bool IsSettled(int tid) {
    if (tid == self_) return true;
    const InterruptedThreads::Thread* const held = held_.Find(tid);
    if (held != nullptr && held->state == InterruptedThreads::State::kHeld) {
      if (IsInSystemCall(held->snapshot)) return true;
      Fail(Obstacle::Kind::kSwitching, tid);
    }
    return false;  // not among the stacks that were chosen
  }

  // True if the functions are quiescent on this stack.
  bool LookAt(const StackSnapshot& snapshot, pid_t tid,
              absl::string_view continulet) {
    const Activity activity = FindActivity(snapshot, set_);
    if (activity.quiescent()) return true;
    obstacle_.SetActive(activity, tid, continulet);
    return false;
  }

  const FunctionSet& set_;
  const Stacks stacks_;
  const std::chrono::nanoseconds limit_;
  const pid_t self_;
  InterruptedThreads held_;
  Obstacle obstacle_;
  std::optional<Clock::time_point> stopped_;
  Clock::time_point released_;
};

std::string NameOf(pid_t tid) {
  for (const ThreadRef& thread : ControlledThreads()) {
    if (thread.tid() == tid) {
      return absl::StrCat("thread '", thread.name(), "' (", tid, ")");
    }
  }
  char name[32];  // as the kernel has it, with a newline
  if (!ReadTaskFile(tid, "comm", name, sizeof(name))) {
    return absl::StrCat("thread ", tid);
  }
  return absl::StrCat("thread '", absl::StripTrailingAsciiWhitespace(name),
                      "' (", tid, ")");
}

std::string WhyItDidNotStop(pid_t tid) {
  const int signal = InterruptionSignal().value_or(0);
  if (signal == 0 || !Blocks(tid, signal)) {
    return absl::StrCat(NameOf(tid), " did not stop in time: it was not run");
  }
  return absl::StrCat(
      NameOf(tid), " did not stop in time: it blocks signal ", signal,
      ", by which threads are stopped, so that its stack cannot be looked at; "
      "let it unblock InterruptionSignal() (pthread_sigmask), or choose "
      "kControlledThreads if it never calls what is changed");
}

Attempt Explain(const Obstacle& obstacle, const WatchedFunctions& watched) {
  switch (obstacle.kind) {
    case Obstacle::Kind::kNone:
      break;
    case Obstacle::Kind::kActive: {
      std::string reason = absl::StrCat(watched.Describe(obstacle.activity),
                                        ", on ", NameOf(obstacle.thread));
      if (obstacle.continulet[0] != '\0') {
        absl::StrAppend(&reason, ", in continulet '", obstacle.continulet, "'");
      }
      return Attempt::NotYet(std::move(reason));
    }
    case Obstacle::Kind::kSwitching:
      return Attempt::NotYet(absl::StrCat(
          NameOf(obstacle.thread),
          " was stopped while it ran and has continulets: it may be in the "
          "middle of a switch"));
    case Obstacle::Kind::kDidNotStop:
      return Attempt::NotYet(WhyItDidNotStop(obstacle.thread));
    case Obstacle::Kind::kListIsLocked:
      return Attempt::NotYet(
          "a thread has just begun, or ceased, to have continulets");
    case Obstacle::Kind::kTooDeep:
      return Attempt::NotYet(updates_internal::TooDeep());
    case Obstacle::Kind::kNotSent:
      return Attempt::NotYet(absl::StrCat(
          "no signal can be sent to ", NameOf(obstacle.thread),
          ": too many are queued (RLIMIT_SIGPENDING), or there is no memory"));
    case Obstacle::Kind::kNoTurn:
      return Attempt::NotYet(
          "another thread holds threads, and did not let them go in time");
    case Obstacle::Kind::kNoTraps:
      return Attempt::NotYet(absl::StrCat(
          NameOf(obstacle.thread),
          " blocks SIGTRAP, and a timer (SIGEV_THREAD) may start a thread at "
          "any moment, so that code can be changed under traps only; unblock "
          "the signal there (pthread_sigmask)"));
    case Obstacle::Kind::kTraced:
      return Attempt::NotYet(absl::StrCat(
          "process ", obstacle.thread,
          " traces this one, and a timer (SIGEV_THREAD) may start a thread at "
          "any moment, so that code can be changed under traps only; detach "
          "it, or tell gdb: handle SIGTRAP nostop noprint pass, and then: set "
          "variable instar_patch_while_traced=1"));
    case Obstacle::Kind::kNoList:
      return Attempt::Failed(absl::UnavailableError(
          "the threads of the process cannot be listed: /proc/self/task is "
          "not readable"));
  }
  return Attempt::Done();
}

// kThisThread and kAllThreads.
Attempt ChangeUnderSignals(
    const WatchedFunctions& watched, Stacks stacks,
    absl::FunctionRef<absl::Status(OtherThreads others)> change,
    std::chrono::nanoseconds limit, QuiescenceReport& report) {
  if (stacks == Stacks::kAllThreads) {
    const absl::StatusOr<int> signal = InterruptionSignal();
    if (!signal.ok()) return Attempt::Failed(signal.status());
  }
  // Two that stop each other would both time out. Whoever waits here can be
  // stopped.
  static ForkMutex looking;
  std::lock_guard<ForkMutex> lock(looking);
  Look look(watched.set(), stacks, limit);
  absl::Status status;
  {
    std::optional<NoAllocation> others_are_held;
    if (stacks == Stacks::kAllThreads) others_are_held.emplace();
    if (look.Prepare()) status = change(look.others());
    look.Release();
  }
  report = look.report();
  if (look.obstacle().kind != Obstacle::Kind::kNone) {
    return Explain(look.obstacle(), watched);
  }
  return status.ok() ? Attempt::Done()
                     : Attempt::Failed(WithText(std::move(status)));
}

// Whether the functions are quiescent on the stacks of the threads that are
// held, and of the caller. Allocates nothing.
Obstacle LookAtHeld(const std::vector<HeldThread>& threads,
                    const FunctionSet& set) {
  Obstacle obstacle;
  const auto look_at = [&](const StackSnapshot& stack, pid_t tid,
                           absl::string_view continulet) {
    if (obstacle.kind != Obstacle::Kind::kNone) return;
    const Activity activity = FindActivity(stack, set);
    if (!activity.quiescent()) obstacle.SetActive(activity, tid, continulet);
  };
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  if (!updates_internal::VisitOwnStack(
          [&](const StackSnapshot& stack) { look_at(stack, self, ""); })) {
    obstacle.kind = Obstacle::Kind::kTooDeep;
    return obstacle;
  }
  for (const HeldThread& thread : threads) {
    // The others are its paused computations, which are visited below, where
    // they have names.
    if (thread.stacks.empty()) continue;
    look_at(thread.stacks.front(), thread.thread.tid(), "");
  }
  VisitPausedComputations(
      [&](int tid) {
        return tid == self || std::any_of(threads.begin(), threads.end(),
                                          [tid](const HeldThread& thread) {
                                            return !thread.stacks.empty() &&
                                                   thread.thread.tid() == tid;
                                          });
      },
      [&](const PausedComputation& paused) {
        look_at(SnapshotOf(paused.context), paused.tid, paused.continulet);
      });
  return obstacle;
}

// kControlledThreads.
Attempt ChangeAtRendezvous(
    const WatchedFunctions& watched, std::chrono::nanoseconds limit,
    absl::FunctionRef<absl::Status(OtherThreads others)> change,
    QuiescenceReport& report) {
  std::optional<Clock::time_point> stopped, released;
  const auto note = [&] {
    if (!stopped.has_value()) return;
    report.stopped = released.value_or(Clock::now()) - *stopped;
  };
  RendezvousOptions options;
  options.limit = limit;
  options.asked_all = &stopped;
  options.released = &released;
  auto rendezvous = Rendezvous::HoldAll(std::move(options));
  if (!rendezvous.ok()) {
    note();
    report.was_too_short = absl::IsDeadlineExceeded(rendezvous.status());
    return absl::IsDeadlineExceeded(rendezvous.status())
               ? Attempt::NotYet(std::string(rendezvous.status().message()))
               : Attempt::Failed(rendezvous.status());
  }
  const Obstacle obstacle = LookAtHeld(rendezvous->threads(), watched.set());
  absl::Status status;
  if (obstacle.kind == Obstacle::Kind::kNone) {
    // The threads that are not controlled run.
    status = change(OtherThreads::kRunning);
  }
  rendezvous->Release();
  note();
  if (obstacle.kind != Obstacle::Kind::kNone) {
    return Explain(obstacle, watched);
  }
  return status.ok() ? Attempt::Done()
                     : Attempt::Failed(WithText(std::move(status)));
}

}  // namespace

Attempt WhenQuiescent(
    const WatchedFunctions& watched, Stacks stacks,
    absl::FunctionRef<absl::Status(OtherThreads others)> change,
    std::optional<std::chrono::nanoseconds> limit, QuiescenceReport* report) {
  // Its first call on a thread allocates; the next ones are made while others
  // are held.
  StackOfThisThread();
  QuiescenceReport unwanted;
  if (report == nullptr) report = &unwanted;
  *report = QuiescenceReport();
  return stacks == Stacks::kControlledThreads
             ? ChangeAtRendezvous(watched, limit.value_or(kRendezvousLimit),
                                  change, *report)
             : ChangeUnderSignals(watched, stacks, change,
                                  limit.value_or(kStopLimit), *report);
}

}  // namespace instar
