// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/interrupted_threads.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>
#include <utility>

#include "base/linux/deadline.h"
#include "base/linux/maps.h"
#include "base/linux/signal_reach.h"
#include "base/linux/system_threads.h"
#include "base/linux/tasks.h"

namespace instar {
namespace {

using stack_internal::Answers;
using stack_internal::Outcome;
using stack_internal::RequestUse;
using State = InterruptedThreads::State;
using Thread = InterruptedThreads::Thread;

// By the system call, as in stack/internal/interruption.cc.
Thread* Map(std::size_t count) {
  const long mapped =
      syscall(SYS_mmap, nullptr, count * sizeof(Thread), PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return mapped == -1 ? nullptr : reinterpret_cast<Thread*>(mapped);
}

void Unmap(Thread* threads, std::size_t count) {
  if (threads != nullptr) syscall(SYS_munmap, threads, count * sizeof(Thread));
}

bool ByNumber(const Thread& a, const Thread& b) { return a.tid < b.tid; }

// Threads of the system that have been met. They are not signalled again: what
// they do not take stays in the queue for ever. Each is looked at anew, since
// its number may have become another's.
constexpr int kOfSystem = 16;
std::atomic<pid_t> of_system[kOfSystem] = {};

bool IsKnownOfSystem(pid_t tid) {
  for (const auto& known : of_system) {
    if (known.load(std::memory_order_relaxed) == tid) {
      return !RunsProgramCode(tid);
    }
  }
  return false;
}

bool NoteIfOfSystem(pid_t tid) {
  if (RunsProgramCode(tid)) return false;
  static std::atomic<unsigned> next{0};
  of_system[next.fetch_add(1, std::memory_order_relaxed) % kOfSystem].store(
      tid, std::memory_order_relaxed);
  return true;
}

// Threads that were found deaf, for the same reason. Each is looked at anew.
constexpr int kDeaf = 64;
std::atomic<pid_t> deaf_threads[kDeaf] = {};

bool IsNotedDeaf(pid_t tid) {
  for (const auto& known : deaf_threads) {
    if (known.load(std::memory_order_relaxed) == tid) return true;
  }
  return false;
}

// Threads that the signal reached when they were looked at, each at the place
// of its number. They are not to be looked at again if they are many.
constexpr int kHearing = 1 << 15;
std::atomic<pid_t> hearing_threads[kHearing] = {};

std::atomic<pid_t>& HearingAt(pid_t tid) {
  return hearing_threads[tid % kHearing];
}

bool IsNotedHearing(pid_t tid) {
  return HearingAt(tid).load(std::memory_order_relaxed) == tid;
}

// Which is noted if it does.
SignalReach LookAt(pid_t tid, int signal) {
  const SignalReach reach = ReachOf(tid, signal);
  if (reach == SignalReach::kHandled) {
    HearingAt(tid).store(tid, std::memory_order_relaxed);
  } else if (IsNotedHearing(tid)) {
    HearingAt(tid).store(0, std::memory_order_relaxed);
  }
  return reach;
}

// As many threads are looked at each time.
constexpr std::size_t kFew = 64;

// The links of a folder are itself, its parent, and its folders.
bool AreThreadsFew() {
  struct stat tasks;
  return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink <= kFew + 2;
}

void NoteDeaf(pid_t tid) {
  static std::atomic<unsigned> next{0};
  if (IsNotedDeaf(tid)) return;
  deaf_threads[next.fetch_add(1, std::memory_order_relaxed) % kDeaf].store(
      tid, std::memory_order_relaxed);
}

// The kernel did not allow the latest attempt to trace. Then threads have all
// their time to unblock the signal.
std::atomic<bool> tracing_is_refused{false};
// At which look (stack/internal/interruption.h) a thread that blocks the signal
// is taken for one that always does: after some 14 ms. libc blocks all signals
// for a moment when it starts a thread.
constexpr int kDeafAtLook = 3;
// The same for FindDeaf(): between its looks, of which each takes those that
// block the signal still.
constexpr std::chrono::microseconds kDeafPauses[] = {
    std::chrono::microseconds(2000), std::chrono::microseconds(4000),
    std::chrono::microseconds(8000)};
// For each, in addition to the limit.
constexpr std::chrono::milliseconds kTraceLimit(50);

// Which of two entries of one thread is kept.
int Rank(const Thread& thread) {
  switch (thread.state) {
    case State::kHeld:
    case State::kEnded:
      return 0;
    case State::kAdded:
      return 1;
    case State::kNotTaken:
    case State::kNotSent:
    case State::kSignalIsTaken:
    case State::kFiltered:
    case State::kReleased:
      break;
  }
  return 2;
}

}  // namespace

InterruptedThreads::~InterruptedThreads() {
  Release();
  Unmap(threads_, capacity_);
}

InterruptedThreads::InterruptedThreads(InterruptedThreads&& other) noexcept
    : threads_(std::exchange(other.threads_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)),
      held_(std::exchange(other.held_, 0)),
      has_turn_(std::exchange(other.has_turn_, false)),
      traced_(std::move(other.traced_)) {}

bool InterruptedThreads::Grow() {
  const std::size_t capacity = capacity_ == 0 ? 64 : 2 * capacity_;
  Thread* const threads = Map(capacity);
  if (threads == nullptr) return false;
  for (std::size_t i = 0; i < size_; ++i) {
    new (threads + i) Thread(threads_[i]);
  }
  Unmap(threads_, capacity_);
  threads_ = threads;
  capacity_ = capacity;
  return true;
}

bool InterruptedThreads::Add(pid_t tid) {
  if (size_ == capacity_ && !Grow()) return false;
  new (threads_ + size_) Thread;
  threads_[size_++].tid = tid;
  return true;
}

void InterruptedThreads::FindDeaf(bool may_wait) {
  const absl::StatusOr<int>& signal = stack_internal::ChosenSignal();
  if (!signal.ok()) return;
  const bool are_few = AreThreadsFew();
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  pid_t found[kDeaf];
  pid_t* end = found;
  VisitTasks([&](pid_t tid) {
    if (tid == self || (!are_few && IsNotedHearing(tid)) || IsNotedDeaf(tid) ||
        IsKnownOfSystem(tid)) {
      return true;
    }
    switch (LookAt(tid, *signal)) {
      case SignalReach::kHandled:
        break;
      case SignalReach::kBlocked:
        if (!NoteIfOfSystem(tid)) *end++ = tid;
        break;
      case SignalReach::kAwaited:
      case SignalReach::kFiltered:
        NoteDeaf(tid);
        break;
    }
    return end != found + kDeaf;
  });
  if (!may_wait || tracing_is_refused.load(std::memory_order_relaxed)) return;
  for (const std::chrono::microseconds pause : kDeafPauses) {
    if (end == found) return;
    std::this_thread::sleep_for(pause);
    end = std::remove_if(found, end, [&](pid_t tid) {
      return LookAt(tid, *signal) == SignalReach::kHandled;
    });
  }
  std::for_each(found, end, &NoteDeaf);
}

bool InterruptedThreads::Hold(std::chrono::nanoseconds limit, Deaf deaf) {
  ForgetOfParent();
  std::sort(begin(), end(), [](const Thread& a, const Thread& b) {
    return a.tid != b.tid ? a.tid < b.tid : Rank(a) < Rank(b);
  });
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  Thread* const last = std::unique(
      begin(), end(),
      [](const Thread& a, const Thread& b) { return a.tid == b.tid; });
  size_ = static_cast<std::size_t>(std::remove_if(begin(), last,
                                                  [self](const Thread& thread) {
                                                    return thread.tid == self;
                                                  }) -
                                   begin());
  const absl::StatusOr<int>& signal = stack_internal::ChosenSignal();
  if (!signal.ok()) return false;
  const auto deadline = DeadlineAfter(limit);
  if (!has_turn_) {
    if (!stack_internal::TakeTurn(deadline)) return false;
    has_turn_ = true;
  }
  if (!stack_internal::IsOurs(*signal)) {
    for (Thread& thread : *this) {
      if (thread.state == State::kAdded) thread.state = State::kSignalIsTaken;
    }
    if (held_ == 0) ReturnTurn();
    return true;
  }
  Answers answers;
  LookBefore(*signal, deaf);
  PostAll(&answers, *signal, deadline);
  stack_internal::AllPosted(&answers);
  int looks = 0;
  if (!stack_internal::AwaitAnswers(&answers, deadline, [&] {
        CancelEnded(&answers);
        if (deaf == Deaf::kTrace && ++looks >= kDeafAtLook &&
            !tracing_is_refused.load(std::memory_order_relaxed)) {
          CancelDeaf(&answers, *signal);
        }
      })) {
    // The time may have been over before anybody has looked.
    CancelEnded(&answers);
    for (Thread& thread : *this) {
      if (thread.state == State::kAdded &&
          stack_internal::Cancel(thread.use, &answers)) {
        thread.state = State::kNotTaken;
      }
    }
    stack_internal::AwaitRest(&answers);
  }
  for (Thread& thread : *this) {
    if (thread.state != State::kAdded) continue;
    const stack_internal::Capture& capture =
        stack_internal::CaptureOf(thread.use);
    thread.snapshot = capture.snapshot;
    thread.in_library_code = capture.in_library_code;
    thread.state = State::kHeld;
    ++held_;
  }
  if (deaf == Deaf::kTrace) TraceDeaf(*signal, DeadlineAfter(kTraceLimit));
  FindStacks();
  if (held_ == 0) ReturnTurn();
  return true;
}

void InterruptedThreads::ReturnTurn() {
  if (std::exchange(has_turn_, false)) stack_internal::ReturnTurn();
}

void InterruptedThreads::ForgetOfParent() {
  if (!has_turn_) return;
  for (Thread& thread : *this) {
    if (thread.state != State::kHeld) continue;
    // All that are held are of one process.
    if (stack_internal::IsOfThisProcess(thread.use)) return;
    thread.state = State::kReleased;
  }
  held_ = 0;
  has_turn_ = false;
}

// Who is not to be sent the signal. One that blocks it is sent it all the same
// unless it is known to do that for long.
void InterruptedThreads::LookBefore(int signal, Deaf deaf) {
  const bool looks_at_each =
      deaf == Deaf::kLeave &&
      std::count_if(begin(), end(), [](const Thread& thread) {
        return thread.state == State::kAdded;
      }) <= static_cast<std::ptrdiff_t>(kFew);
  for (Thread& thread : *this) {
    if (thread.state != State::kAdded ||
        (!looks_at_each && IsNotedHearing(thread.tid))) {
      continue;
    }
    if (IsKnownOfSystem(thread.tid)) {
      thread.state = State::kEnded;
      continue;
    }
    switch (LookAt(thread.tid, signal)) {
      case SignalReach::kHandled:
        break;
      case SignalReach::kBlocked:
        if (IsNotedDeaf(thread.tid)) thread.state = State::kNotTaken;
        break;
      case SignalReach::kAwaited:
        thread.state = State::kNotTaken;
        break;
      case SignalReach::kFiltered:
        thread.state = State::kFiltered;
        break;
    }
  }
}

void InterruptedThreads::PostAll(Answers* answers, int signal,
                                 stack_internal::TimePoint deadline) {
  std::uint32_t scan = 0;
  for (Thread& thread : *this) {
    if (thread.state != State::kAdded) continue;
    switch (stack_internal::Post(thread.tid, signal, nullptr, 0, answers,
                                 deadline, &scan, &thread.use)) {
      case Outcome::kPosted:
        break;
      case Outcome::kNoThread:
        thread.state = State::kEnded;
        break;
      case Outcome::kNoMemory:
      case Outcome::kNotSent:
        thread.state = State::kNotSent;
        break;
    }
  }
}

// Those that have ended take no signal, however long they are waited for, and
// those of the system need not.
void InterruptedThreads::CancelEnded(Answers* answers) {
  for (Thread& thread : *this) {
    if (thread.state != State::kAdded ||
        stack_internal::IsAnswered(thread.use)) {
      continue;
    }
    if ((HasTaskEnded(thread.tid) || NoteIfOfSystem(thread.tid)) &&
        stack_internal::Cancel(thread.use, answers)) {
      thread.state = State::kEnded;
    }
  }
}

void InterruptedThreads::CancelDeaf(Answers* answers, int signal) {
  for (Thread& thread : *this) {
    if (thread.state == State::kAdded &&
        !stack_internal::IsAnswered(thread.use) &&
        LookAt(thread.tid, signal) != SignalReach::kHandled &&
        stack_internal::Cancel(thread.use, answers)) {
      thread.state = State::kNotTaken;
    }
  }
}

void InterruptedThreads::TraceDeaf(int signal,
                                   stack_internal::TimePoint deadline) {
  for (Thread& thread : *this) {
    if (thread.state != State::kNotTaken && thread.state != State::kFiltered) {
      continue;
    }
    const SignalReach reach = LookAt(thread.tid, signal);
    if (reach == SignalReach::kHandled) continue;
    NoteDeaf(thread.tid);
    TracedThreads::Registers registers;
    const auto calls = reach == SignalReach::kFiltered
                           ? TracedThreads::Calls::kEndWithEintr
                           : TracedThreads::Calls::kGoOn;
    switch (traced_.Hold(thread.tid, deadline, &registers, calls)) {
      case TracedThreads::Result::kHeld:
        tracing_is_refused.store(false, std::memory_order_relaxed);
        thread.snapshot = StackSnapshot();
        thread.snapshot.is_interrupted = true;
        thread.snapshot.pc = registers.pc;
        thread.snapshot.sp = registers.sp;
        thread.snapshot.fp = registers.fp;
        thread.in_library_code = false;
        thread.use = stack_internal::OfThisProcess();
        thread.is_traced = true;
        thread.state = State::kHeld;
        ++held_;
        break;
      case TracedThreads::Result::kEnded:
        thread.state = State::kEnded;
        break;
      case TracedThreads::Result::kNotInTime:
        // Those that were traced run again.
        for (Thread& other : *this) {
          if (other.is_traced && other.state == State::kHeld &&
              !TracedThreads::IsHeldByThisThread(other.tid)) {
            other.state = State::kNotTaken;
            --held_;
          }
        }
        return;
      case TracedThreads::Result::kRefused:
        tracing_is_refused.store(true, std::memory_order_relaxed);
        return;
    }
  }
}

// Finds the stacks of those who did not know their own: where the kernel tells
// of single mappings by a question for each, otherwise by one reading of them
// all, since that takes a time that grows with their number, and they with that
// of the threads and of what has been loaded.
void InterruptedThreads::FindStacks() {
  const auto is_known = [](const Thread& thread) {
    return thread.state != State::kHeld ||
           thread.snapshot.bounds.Contains(thread.snapshot.sp);
  };
  Thread* next = std::partition(begin(), end(), is_known);
  if (next == end()) return;
  const MappingQuery query;
  for (Mapping mapping; next != end(); ++next) {
    const MappingQuery::Answer answer = query.Find(next->snapshot.sp, &mapping);
    if (answer == MappingQuery::Answer::kNotTold) break;
    if (answer == MappingQuery::Answer::kFound && mapping.readable) {
      next->snapshot.bounds = StackBounds{mapping.low, mapping.high};
    }
  }
  if (next != end()) {
    std::sort(next, end(), [](const Thread& a, const Thread& b) {
      return a.snapshot.sp < b.snapshot.sp;
    });
    VisitMappings([&](const Mapping& mapping) {
      while (next != end() && next->snapshot.sp < mapping.high) {
        if (mapping.readable && mapping.Contains(next->snapshot.sp)) {
          next->snapshot.bounds = StackBounds{mapping.low, mapping.high};
        }
        ++next;
      }
      return next != end();
    });
  }
  std::sort(begin(), end(), &ByNumber);
}

InterruptedThreads::Thread* InterruptedThreads::Find(pid_t tid) {
  Thread wanted;
  wanted.tid = tid;
  Thread* const found = std::lower_bound(begin(), end(), wanted, &ByNumber);
  return found != end() && found->tid == tid ? found : nullptr;
}

void InterruptedThreads::Release(Thread& thread) {
  if (thread.state == State::kHeld &&
      !stack_internal::IsOfThisProcess(thread.use)) {
    ForgetOfParent();
  }
  if (thread.state != State::kHeld) return;
  thread.state = State::kReleased;
  if (thread.is_traced) {
    traced_.Release(thread.tid);
  } else {
    stack_internal::LetGo(thread.use);
  }
  if (--held_ == 0) ReturnTurn();
}

void InterruptedThreads::Release() {
  for (Thread& thread : *this) Release(thread);
  traced_.Release();
  size_ = 0;
}

}  // namespace instar
