// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/blocking_region.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/fork_mutex.h"
#include "base/linux/deadline.h"
#include "base/linux/kept_handler.h"
#include "stack/interrupted_thread.h"
#include "threads/internal/pending_request.h"
#include "threads/internal/snapshot_at_call.h"
#include "threads/known_names.h"

namespace instar {
namespace threads_internal {
namespace {

void DoNothing(int) {}

bool Send(int signal, pid_t tid) {
  return syscall(SYS_tgkill, getpid(), tid, signal) == 0;
}

struct sigaction OurAction() {
  struct sigaction action = {};
  action.sa_handler = &DoNothing;  // without SA_RESTART
  return action;
}

// A real-time signal without a handler, which becomes ours; 0 if there is none.
int ChooseSignal() {
  // That one is chosen in the same way: not both at once.
  (void)InterruptionSignal();
  const struct sigaction action = OurAction();
  for (int number = SIGRTMAX; number >= SIGRTMIN; --number) {
    struct sigaction current;
    if (sigaction(number, nullptr, &current) != 0) continue;
    // By a thread of the parent that had not said so when it was forked.
    if (current.sa_handler == &DoNothing) return number;
    if (current.sa_handler != SIG_DFL || (current.sa_flags & SA_SIGINFO) != 0) {
      continue;
    }
    if (sigaction(number, &action, nullptr) != 0) continue;
    // qemu's user mode takes a handler for the last two, which it has not.
    if (Send(number, static_cast<pid_t>(syscall(SYS_gettid)))) return number;
    sigaction(number, &current, nullptr);
  }
  return 0;
}

bool WakeBySignal(const ThreadRecord& record, void*) {
  static ForkOnce<int> chosen;
  const int signal = chosen.Get(&ChooseSignal);
  // Unless the program handles it by now.
  return signal != 0 && KeepHandler(signal, OurAction()) &&
         Send(signal, record.tid.load(std::memory_order_relaxed));
}

bool CanBlock(const PerThread& mine) {
  if (mine.record == nullptr || mine.busy.load(std::memory_order_relaxed) ||
      mine.no_update_depth.load(std::memory_order_relaxed) != 0) {
    return false;
  }
  const ThreadState state = mine.record->state.load(std::memory_order_relaxed);
  return state == ThreadState::kRunning || state == ThreadState::kRebooting;
}

}  // namespace

Wakeup WakeupBySignal() { return Wakeup{&WakeBySignal, nullptr}; }

INSTAR_WITH_FRAME_POINTER
BlockingRegion::BlockingRegion(Wakeup wakeup, absl::string_view point)
    : wakeup_(wakeup), point_(point) {
  if (CanBlock(this_thread)) EnterFrom(INSTAR_SNAPSHOT_AT_MY_CALL());
}

BlockingRegion::BlockingRegion(Wakeup wakeup, absl::string_view point,
                               const StackSnapshot& entered)
    : wakeup_(wakeup), point_(point) {
  if (CanBlock(this_thread)) EnterFrom(entered);
}

void BlockingRegion::EnterFrom(const StackSnapshot& caller) {
  const Busy busy;
  stack_ = caller;
  switchers_ = LinkAllSwitchers(&stack_);
  Enter();
}

void BlockingRegion::EnterAgain() {
  if (entered_ || !CanBlock(this_thread)) return;
  const Busy busy;
  Enter();
}

void BlockingRegion::Enter() {
  if (!point_.empty()) NoteUpdatePoint(point_);
  ThreadRecord& record = *this_thread.record;
  std::lock_guard<std::mutex> lock(record.lock);
  record.wakeup = wakeup_;
  record.was_woken = false;
  Move(record, ThreadState::kBlocked);
  CountAsStoppedAt(record, &stack_, point_);
  entered_ = true;
}

BlockingRegion::~BlockingRegion() {
  if (entered_) LeaveQuietly();
}

bool BlockingRegion::LeaveQuietly() {
  entered_ = false;
  const int saved_errno = errno;
  const Busy busy;
  ThreadRecord& record = *this_thread.record;
  bool woken;
  {
    std::unique_lock<std::mutex> lock(record.lock);
    record.wakeup = Wakeup();
    woken = record.was_woken;
    WaitWhileHeld(record, lock, &stack_, point_);
    Move(record, ResumeState(record));
  }
  // The signal was sent with the lock held, so it is pending by now. Any system
  // call delivers it, or the program's next one would return EINTR.
  if (woken) sched_yield();
  errno = saved_errno;
  return woken;
}

INSTAR_WITH_FRAME_POINTER bool BlockingRegion::Leave() {
  if (!entered_) return false;
  const int saved_errno = errno;
  const bool woken = LeaveQuietly();
  RunWhatWaits(point_, INSTAR_SNAPSHOT_AT_MY_CALL());
  errno = saved_errno;
  return woken;
}

void BlockingRegion::RunWhatWaits(absl::string_view point,
                                  const StackSnapshot& caller) {
  if ((this_thread.attention.load(std::memory_order_relaxed) &
       (kAttentionUpdate | kAttentionReboot)) != 0) {
    ArriveAt(Point{Point::Kind::kAfterBlocking, point, caller});
  }
}

void SleepOnce(std::chrono::steady_clock::time_point until) {
  // steady_clock is CLOCK_MONOTONIC, in nanoseconds.
  const auto since = until.time_since_epoch().count();
  timespec time;
  time.tv_sec = since / 1000000000;
  time.tv_nsec = since % 1000000000;
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

namespace {

using Clock = std::chrono::steady_clock;

// Until then; null: for ever. A descriptor that is none counts as ready: the
// program's own call says what is wrong.
bool Await(int descriptor, short events, const Clock::time_point* until) {
  const int saved_errno = errno;
  bool ready = false;
  while (true) {
    timespec rest;
    if (until != nullptr) {
      const auto left =
          std::max(*until - Clock::now(), Clock::duration::zero()).count();
      rest.tv_sec = left / 1000000000;
      rest.tv_nsec = left % 1000000000;
    }
    pollfd awaited = {descriptor, events, 0};
    BlockingRegion region(WakeupBySignal());
    const int found =
        ppoll(&awaited, 1, until != nullptr ? &rest : nullptr, nullptr);
    const int error = errno;
    region.Leave();
    ready = found > 0 || (found < 0 && error != EINTR);
    if (ready || (found == 0 && until != nullptr)) break;
  }
  errno = saved_errno;
  return ready;
}

bool AwaitFor(int descriptor, short events, std::chrono::nanoseconds limit) {
  const Clock::time_point until = DeadlineAfter(limit);
  return Await(descriptor, events, &until);
}

}  // namespace

}  // namespace threads_internal

void AwaitReadable(int descriptor) {
  threads_internal::Await(descriptor, POLLIN, nullptr);
}

void AwaitWritable(int descriptor) {
  threads_internal::Await(descriptor, POLLOUT, nullptr);
}

bool AwaitReadableFor(int descriptor, std::chrono::nanoseconds limit) {
  return threads_internal::AwaitFor(descriptor, POLLIN, limit);
}

bool AwaitWritableFor(int descriptor, std::chrono::nanoseconds limit) {
  return threads_internal::AwaitFor(descriptor, POLLOUT, limit);
}

void SleepUntil(std::chrono::steady_clock::time_point until) {
  while (std::chrono::steady_clock::now() < until) {
    threads_internal::BlockingRegion region(threads_internal::WakeupBySignal());
    threads_internal::SleepOnce(until);
    region.Leave();
  }
}

void SleepFor(std::chrono::nanoseconds duration) {
  SleepUntil(DeadlineAfter(duration));
}

}  // namespace instar
