// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/interrupted_thread.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/linux/deadline.h"
#include "base/linux/maps.h"
#include "base/linux/signal_reach.h"
#include "base/linux/tasks.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "stack/internal/interruption.h"

namespace instar {
namespace {

using stack_internal::Answers;
using stack_internal::CaptureOf;
using stack_internal::Outcome;
using stack_internal::RequestUse;

// How an attempt to interrupt a thread ends. Telling it allocates nothing.
enum class End {
  kCaptured,
  kIsCaller,
  kNoSignal,
  kSignalIsTaken,
  kNoTurn,
  kNoMemory,
  kNoThread,
  kNotSent,
  kNotTaken,
  kFiltered,
};

absl::Status ToStatus(End end, pid_t tid, int error) {
  switch (end) {
    case End::kCaptured:
      break;
    case End::kIsCaller:
      return absl::InvalidArgumentError(
          "a thread cannot hold itself: SnapshotOfCaller() is for that");
    case End::kNoSignal:
      return InterruptionSignal().status();
    case End::kSignalIsTaken:
      return absl::FailedPreconditionError(
          absl::StrCat("thread ", tid, " was not interrupted: signal ",
                       *InterruptionSignal(),
                       ", by which threads are, has a handler of the program, "
                       "installed since it was chosen"));
    case End::kNoTurn:
      return absl::DeadlineExceededError(
          absl::StrCat("thread ", tid,
                       " was not interrupted: another thread holds threads, "
                       "and did not let them go in time"));
    case End::kNoMemory:
      return absl::ResourceExhaustedError(
          "there is no memory to interrupt a thread");
    case End::kNoThread:
      return absl::NotFoundError(absl::StrCat(
          "thread ", tid, " is not, or no longer, in this process"));
    case End::kNotSent:
      return absl::ResourceExhaustedError(
          absl::StrCat("no signal can be sent to thread ", tid, ": ",
                       strerror(error), " (see RLIMIT_SIGPENDING)"));
    case End::kNotTaken:
      return absl::DeadlineExceededError(absl::StrCat(
          "thread ", tid, " did not take signal ", *InterruptionSignal(),
          " in time: it blocks it, waits for it (sigwaitinfo() or the like), "
          "or it was not run"));
    case End::kFiltered:
      return absl::FailedPreconditionError(absl::StrCat(
          "thread ", tid,
          " was not interrupted: it has seccomp filters that the calling "
          "thread has not, which might end the process for a system call of "
          "the handler"));
  }
  return absl::OkStatus();
}

// With the turn, if it was captured.
End TryInterrupt(pid_t tid, std::chrono::nanoseconds limit, char* room,
                 std::size_t size, RequestUse* use) {
  if (tid == static_cast<pid_t>(syscall(SYS_gettid))) return End::kIsCaller;
  const absl::StatusOr<int>& signal = stack_internal::ChosenSignal();
  if (!signal.ok()) return End::kNoSignal;
  if (!stack_internal::IsOurs(*signal)) return End::kSignalIsTaken;
  switch (ReachOf(tid, *signal)) {
    case SignalReach::kHandled:
    case SignalReach::kBlocked:  // perhaps for a moment only
      break;
    case SignalReach::kAwaited:
      return End::kNotTaken;
    case SignalReach::kFiltered:
      return End::kFiltered;
  }
  const auto deadline = DeadlineAfter(limit);
  if (!stack_internal::TakeTurn(deadline)) return End::kNoTurn;
  Answers answers;
  std::uint32_t scan = 0;
  const Outcome outcome = stack_internal::Post(tid, *signal, room, size,
                                               &answers, deadline, &scan, use);
  const int error = errno;
  End end = End::kCaptured;
  switch (outcome) {
    case Outcome::kPosted:
      stack_internal::AllPosted(&answers);
      if (!stack_internal::AwaitAnswers(&answers, deadline, [&] {
            if (HasTaskEnded(tid) && stack_internal::Cancel(*use, &answers)) {
              end = End::kNoThread;
            }
          })) {
        if (stack_internal::Cancel(*use, &answers)) end = End::kNotTaken;
        stack_internal::AwaitRest(&answers);
      }
      break;
    case Outcome::kNoMemory:
      end = End::kNoMemory;
      break;
    case Outcome::kNoThread:
      end = End::kNoThread;
      break;
    case Outcome::kNotSent:
      end = End::kNotSent;
      break;
  }
  if (end != End::kCaptured) stack_internal::ReturnTurn();
  errno = error;
  return end;
}

absl::StatusOr<RequestUse> Interrupt(pid_t tid, std::chrono::nanoseconds limit,
                                     char* room, std::size_t size) {
  RequestUse use;
  const End end = TryInterrupt(tid, limit, room, size, &use);
  const int error = errno;
  if (end == End::kCaptured) return use;
  return ToStatus(end, tid, error);
}

// The memory around `address` that is mapped readable.
StackBounds MappingAround(std::uintptr_t address) {
  StackBounds found;
  VisitMappings([&](const Mapping& mapping) {
    if (!mapping.Contains(address)) return true;
    if (mapping.readable) found = StackBounds{mapping.low, mapping.high};
    return false;
  });
  return found;
}

// Where a captured thread was interrupted.
StackSnapshot SnapshotOfCaptured(const RequestUse& use) {
  StackSnapshot snapshot = CaptureOf(use).snapshot;
  if (!snapshot.bounds.Contains(snapshot.sp)) {
    snapshot.bounds = MappingAround(snapshot.sp);
  }
  return snapshot;
}

void LetGoOn(const RequestUse& use) {
  if (!stack_internal::IsOfThisProcess(use)) return;
  stack_internal::LetGo(use);
  stack_internal::ReturnTurn();
}

// Lets it go on.
StackSnapshot CopyOfCaptured(const RequestUse& use, char* room,
                             std::size_t size) {
  const NoAllocation is_held;
  StackSnapshot snapshot = CaptureOf(use).snapshot;
  StackBounds copied = CaptureOf(use).copied;
  if (copied.high == 0) {
    // The handler did not know its stack. It is held: copy from here.
    snapshot.bounds = MappingAround(snapshot.sp);
    copied = stack_internal::CopyStack(snapshot, room, size);
  }
  LetGoOn(use);
  snapshot.bounds = copied;
  snapshot.copy_offset = reinterpret_cast<std::uintptr_t>(room) - copied.low;
  return snapshot;
}

}  // namespace

absl::StatusOr<int> InterruptionSignal() {
  return stack_internal::ChosenSignal();
}

absl::StatusOr<InterruptedThread> InterruptedThread::Hold(
    pid_t tid, std::chrono::nanoseconds limit) {
  INSTAR_ASSIGN_OR_RETURN(const RequestUse use,
                          Interrupt(tid, limit, nullptr, 0));
  return InterruptedThread(use, SnapshotOfCaptured(use),
                           CaptureOf(use).in_library_code);
}

std::optional<InterruptedThread> InterruptedThread::TryHold(
    pid_t tid, std::chrono::nanoseconds limit) {
  RequestUse use;
  if (TryInterrupt(tid, limit, nullptr, 0, &use) != End::kCaptured) {
    return std::nullopt;
  }
  return InterruptedThread(use, SnapshotOfCaptured(use),
                           CaptureOf(use).in_library_code);
}

InterruptedThread::InterruptedThread(InterruptedThread&& other) noexcept
    : use_(std::exchange(other.use_, RequestUse())),
      snapshot_(other.snapshot_),
      in_library_code_(other.in_library_code_) {}

InterruptedThread& InterruptedThread::operator=(
    InterruptedThread&& other) noexcept {
  if (this != &other) {
    Release();
    use_ = std::exchange(other.use_, RequestUse());
    snapshot_ = other.snapshot_;
    in_library_code_ = other.in_library_code_;
  }
  return *this;
}

void InterruptedThread::Release() {
  if (use_.index == RequestUse::kNone) return;
  LetGoOn(std::exchange(use_, RequestUse()));
}

std::optional<StackSnapshot> TryCopyThread(pid_t tid,
                                           std::chrono::nanoseconds limit,
                                           char* room, std::size_t size) {
  RequestUse use;
  if (TryInterrupt(tid, limit, room, size, &use) != End::kCaptured) {
    return std::nullopt;
  }
  return CopyOfCaptured(use, room, size);
}

absl::StatusOr<StackSnapshot> CopyThread(pid_t tid,
                                         std::chrono::nanoseconds limit,
                                         char* room, std::size_t size) {
  INSTAR_ASSIGN_OR_RETURN(const RequestUse use,
                          Interrupt(tid, limit, room, size));
  return CopyOfCaptured(use, room, size);
}

}  // namespace instar

// For base/linux/own_thread.cc, which is below this.
extern "C" int InstarInterruptionSignal();
extern "C" int InstarInterruptionSignal() {
  return instar::InterruptionSignal().value_or(0);
}
