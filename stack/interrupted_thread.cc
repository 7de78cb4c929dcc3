// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/interrupted_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace instar {
namespace {

enum State : std::uint32_t {
  kFree,
  kPosted,
  kEntered,
  kCaptured,
  kReleased,
};
constexpr std::uint32_t kStateMask = 7;
constexpr int kRequests = 64;
constexpr int kRequestBits = 6;

struct Request {
  // The state in the lower three bits, above them the number of the use. What a
  // futex waits on.
  std::atomic<std::uint32_t> word{kFree};
  // Set before "posted"; read by the handler.
  char* room = nullptr;
  std::size_t room_size = 0;
  // Set by the handler before "captured".
  StackSnapshot snapshot;
  StackBounds copied;
};

Request requests[kRequests];

void FutexWait(std::atomic<std::uint32_t>* word, std::uint32_t expected,
               const timespec* deadline) {
  syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, deadline,
          nullptr, FUTEX_BITSET_MATCH_ANY);
}

void FutexWake(std::atomic<std::uint32_t>* word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
}

__attribute__((no_sanitize("address", "thread"))) void CopyWords(
    char* to, std::uintptr_t from, std::size_t size) {
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    const std::uintptr_t word =
        *reinterpret_cast<const std::uintptr_t*>(from + i);
    __builtin_memcpy(to + i, &word, sizeof(word));
  }
}

// What is copied of a stack: all above its pointer, and the 128 bytes below
// that belong to the interrupted function (psABI, section 3.2.2). In its last
// instruction the rbp that it has just popped is still found there.
constexpr std::uintptr_t kRedZone = 128;

StackBounds CopiedPart(const StackSnapshot& snapshot, std::size_t size) {
  const StackBounds& stack = snapshot.bounds;
  if (!stack.Contains(snapshot.rsp)) return StackBounds();
  const std::uintptr_t low =
      snapshot.rsp - std::min(kRedZone, snapshot.rsp - stack.low);
  return StackBounds{
      low, low + (std::min<std::uintptr_t>(size, stack.high - low) & ~7ul)};
}

// Runs on the interrupted thread.
void Handle(int, siginfo_t* info, void* context) {
  if (info->si_code != SI_QUEUE || info->si_pid != getpid()) return;
  const int saved_errno = errno;
  const auto cookie =
      reinterpret_cast<std::uintptr_t>(info->si_value.sival_ptr);
  Request& request = requests[cookie & (kRequests - 1)];
  const auto number =
      static_cast<std::uint32_t>(cookie >> kRequestBits) & ~kStateMask;
  std::uint32_t expected = number | kPosted;
  // Acquire: room and its size are those of this use.
  if (!request.word.compare_exchange_strong(expected, number | kEntered,
                                            std::memory_order_acquire)) {
    return;  // it came too late
  }
  const auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  StackSnapshot& snapshot = request.snapshot;
  snapshot = StackSnapshot();
  snapshot.is_interrupted = true;
  snapshot.rip = static_cast<std::uintptr_t>(machine->gregs[REG_RIP]);
  snapshot.rsp = static_cast<std::uintptr_t>(machine->gregs[REG_RSP]);
  snapshot.rbp = static_cast<std::uintptr_t>(machine->gregs[REG_RBP]);
  snapshot.bounds = StackOfCallerIfKnown();
  request.copied = StackBounds();
  if (request.room != nullptr) {
    request.copied = CopiedPart(snapshot, request.room_size);
    CopyWords(request.room, request.copied.low,
              request.copied.high - request.copied.low);
  }
  request.word.store(number | kCaptured, std::memory_order_release);
  FutexWake(&request.word);
  while (request.word.load(std::memory_order_acquire) == (number | kCaptured)) {
    FutexWait(&request.word, number | kCaptured, nullptr);
  }
  request.word.store(number | kFree, std::memory_order_release);
  errno = saved_errno;
}

absl::StatusOr<int> ChooseSignal() {
  for (int number = SIGRTMAX; number >= SIGRTMIN; --number) {
    struct sigaction current;
    if (sigaction(number, nullptr, &current) != 0 ||
        current.sa_handler != SIG_DFL || (current.sa_flags & SA_SIGINFO) != 0) {
      continue;
    }
    struct sigaction action = {};
    action.sa_sigaction = &Handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    // Nothing else runs on a stack that is being walked.
    sigfillset(&action.sa_mask);
    // Except traps, which the handler does not run into: whoever changes code
    // refuses while a thread blocks them.
    sigdelset(&action.sa_mask, SIGTRAP);
    if (sigaction(number, &action, nullptr) == 0) return number;
  }
  return absl::ResourceExhaustedError(
      "no real-time signal is free to interrupt threads with: every one from "
      "SIGRTMIN to SIGRTMAX has a handler");
}

const absl::StatusOr<int>& ChosenSignal() {
  static const absl::StatusOr<int>* const signal =
      new absl::StatusOr<int>(ChooseSignal());
  return *signal;
}

// The memory around `address` that is mapped readable and writable, without a
// heap: the interrupted thread may own the allocator's lock.
StackBounds MappingAround(std::uintptr_t address) {
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return StackBounds();
  char buffer[4096];
  std::size_t filled = 0;
  StackBounds found;
  while (found.high == 0) {
    const ssize_t got =
        read(file, buffer + filled, sizeof(buffer) - 1 - filled);
    if (got <= 0) break;
    filled += static_cast<std::size_t>(got);
    buffer[filled] = 0;
    char* line = buffer;
    while (char* end = strchr(line, '\n')) {
      *end = 0;
      unsigned long low;
      unsigned long high;
      char mode[5];
      if (sscanf(line, "%lx-%lx %4s", &low, &high, mode) == 3 &&
          address >= low && address < high && mode[0] == 'r') {
        found = StackBounds{low, high};
      }
      line = end + 1;
    }
    filled = static_cast<std::size_t>(buffer + filled - line);
    memmove(buffer, line, filled);
  }
  close(file);
  return found;
}

timespec Deadline(std::chrono::nanoseconds limit) {
  timespec deadline;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  const std::int64_t total = deadline.tv_nsec + limit.count() % 1000000000;
  deadline.tv_sec += limit.count() / 1000000000 + total / 1000000000;
  deadline.tv_nsec = total % 1000000000;
  return deadline;
}

bool Passed(const timespec& deadline) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec != deadline.tv_sec ? now.tv_sec > deadline.tv_sec
                                       : now.tv_nsec >= deadline.tv_nsec;
}

// Finds a free request and marks it posted. -1 if there is none in time.
int Post(char* room, std::size_t size, const timespec& deadline,
         std::uint32_t* number) {
  static std::mutex posting;  // between Hold()s only: never taken when held
  while (true) {
    {
      std::lock_guard<std::mutex> lock(posting);
      for (int i = 0; i < kRequests; ++i) {
        const std::uint32_t word =
            requests[i].word.load(std::memory_order_acquire);
        if ((word & kStateMask) != kFree) continue;
        *number = (word & ~kStateMask) + kStateMask + 1;
        requests[i].room = room;
        requests[i].room_size = size;
        requests[i].word.store(*number | kPosted, std::memory_order_release);
        return i;
      }
    }
    if (Passed(deadline)) return -1;
    sched_yield();
  }
}

// How an attempt to interrupt a thread ends. Telling it allocates nothing.
enum class Outcome {
  kCaptured,
  kIsCaller,
  kNoSignal,
  kAllInUse,
  kNoThread,
  kNotSent,
  kNotTaken,
};

absl::Status ToStatus(Outcome outcome, pid_t tid, int error) {
  switch (outcome) {
    case Outcome::kCaptured:
      break;
    case Outcome::kIsCaller:
      return absl::InvalidArgumentError(
          "a thread cannot hold itself: SnapshotOfCaller() is for that");
    case Outcome::kNoSignal:
      return InterruptionSignal().status();
    case Outcome::kAllInUse:
      return absl::DeadlineExceededError(
          absl::StrCat(kRequests, " threads are already held"));
    case Outcome::kNoThread:
      return absl::NotFoundError(absl::StrCat(
          "thread ", tid, " is not, or no longer, in this process"));
    case Outcome::kNotSent:
      return absl::ResourceExhaustedError(
          absl::StrCat("no signal can be sent to thread ", tid, ": ",
                       strerror(error), " (see RLIMIT_SIGPENDING)"));
    case Outcome::kNotTaken:
      return absl::DeadlineExceededError(absl::StrCat(
          "thread ", tid, " did not take signal ", *InterruptionSignal(),
          " in time: it blocks it, or it was not run"));
  }
  return absl::OkStatus();
}

Outcome SendSignal(pid_t tid, int signal, int request, std::uint32_t number) {
  siginfo_t info = {};
  info.si_signo = signal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr =
      reinterpret_cast<void*>((std::uintptr_t{number} << kRequestBits) |
                              static_cast<std::uintptr_t>(request));
  if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, signal, &info) == 0) {
    return Outcome::kCaptured;
  }
  return errno == ESRCH ? Outcome::kNoThread : Outcome::kNotSent;
}

struct Captured {
  int request;
  std::uint32_t number;
};

// Allocates nothing once the signal has been chosen.
Outcome TryInterrupt(pid_t tid, std::chrono::nanoseconds limit, char* room,
                     std::size_t size, Captured* captured) {
  if (tid == static_cast<pid_t>(syscall(SYS_gettid))) return Outcome::kIsCaller;
  const absl::StatusOr<int>& signal = ChosenSignal();
  if (!signal.ok()) return Outcome::kNoSignal;
  const timespec deadline = Deadline(limit);
  std::uint32_t number;
  const int index = Post(room, size, deadline, &number);
  if (index < 0) return Outcome::kAllInUse;
  std::atomic<std::uint32_t>& word = requests[index].word;
  const Outcome sent = SendSignal(tid, *signal, index, number);
  if (sent != Outcome::kCaptured) {
    word.store(number | kFree, std::memory_order_release);
    return sent;
  }
  while (true) {
    std::uint32_t seen = word.load(std::memory_order_acquire);
    if (seen == (number | kCaptured)) {
      *captured = Captured{index, number};
      return Outcome::kCaptured;
    }
    if (seen == (number | kPosted) && Passed(deadline)) {
      if (word.compare_exchange_strong(seen, number | kFree,
                                       std::memory_order_acq_rel)) {
        return Outcome::kNotTaken;
      }
      continue;
    }
    // The handler is inside: it is a matter of microseconds.
    FutexWait(&word, seen, seen == (number | kPosted) ? &deadline : nullptr);
  }
}

absl::StatusOr<Captured> Interrupt(pid_t tid, std::chrono::nanoseconds limit,
                                   char* room, std::size_t size) {
  Captured captured = {};
  const Outcome outcome = TryInterrupt(tid, limit, room, size, &captured);
  const int error = errno;
  if (outcome == Outcome::kCaptured) return captured;
  return ToStatus(outcome, tid, error);
}

// Where a captured thread was interrupted.
StackSnapshot SnapshotOfCaptured(const Captured& captured) {
  StackSnapshot snapshot = requests[captured.request].snapshot;
  if (!snapshot.bounds.Contains(snapshot.rsp)) {
    snapshot.bounds = MappingAround(snapshot.rsp);
  }
  return snapshot;
}

void LetGo(int request, std::uint32_t number) {
  requests[request].word.store(number | kReleased, std::memory_order_release);
  FutexWake(&requests[request].word);
}

}  // namespace

absl::StatusOr<int> InterruptionSignal() { return ChosenSignal(); }

absl::StatusOr<InterruptedThread> InterruptedThread::Hold(
    pid_t tid, std::chrono::nanoseconds limit) {
  INSTAR_ASSIGN_OR_RETURN(const Captured captured,
                          Interrupt(tid, limit, nullptr, 0));
  return InterruptedThread(captured.request, captured.number,
                           SnapshotOfCaptured(captured));
}

std::optional<InterruptedThread> InterruptedThread::TryHold(
    pid_t tid, std::chrono::nanoseconds limit) {
  Captured captured = {};
  if (TryInterrupt(tid, limit, nullptr, 0, &captured) != Outcome::kCaptured) {
    return std::nullopt;
  }
  return InterruptedThread(captured.request, captured.number,
                           SnapshotOfCaptured(captured));
}

InterruptedThread::InterruptedThread(InterruptedThread&& other) noexcept
    : request_(std::exchange(other.request_, -1)),
      number_(other.number_),
      snapshot_(other.snapshot_) {}

InterruptedThread& InterruptedThread::operator=(
    InterruptedThread&& other) noexcept {
  if (this != &other) {
    Release();
    request_ = std::exchange(other.request_, -1);
    number_ = other.number_;
    snapshot_ = other.snapshot_;
  }
  return *this;
}

void InterruptedThread::Release() {
  if (request_ < 0) return;
  LetGo(std::exchange(request_, -1), static_cast<std::uint32_t>(number_));
}

absl::StatusOr<StackSnapshot> CopyThread(pid_t tid,
                                         std::chrono::nanoseconds limit,
                                         char* room, std::size_t size) {
  INSTAR_ASSIGN_OR_RETURN(const Captured captured,
                          Interrupt(tid, limit, room, size));
  StackSnapshot snapshot = requests[captured.request].snapshot;
  StackBounds copied = requests[captured.request].copied;
  if (copied.high == 0) {
    // The handler did not know its stack. It is held: copy from here.
    snapshot.bounds = MappingAround(snapshot.rsp);
    copied = CopiedPart(snapshot, size);
    CopyWords(room, copied.low, copied.high - copied.low);
  }
  LetGo(captured.request, captured.number);
  snapshot.bounds = copied;
  snapshot.copy_offset = reinterpret_cast<std::uintptr_t>(room) - copied.low;
  return snapshot;
}

}  // namespace instar
