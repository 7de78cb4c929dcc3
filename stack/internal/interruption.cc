// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/internal/interruption.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>

#include "absl/status/status.h"
#include "base/at_fork.h"
#include "base/fork_mutex.h"
#include "base/library_code.h"
#include "base/linux/futex.h"
#include "base/linux/kept_handler.h"
#include "base/linux/thread_registers.h"

namespace instar {
namespace stack_internal {
namespace {

using Clock = std::chrono::steady_clock;

enum State : std::uint32_t {
  kFree,
  kClaimed,
  kPosted,
  kEntered,
  kCaptured,
  kReleased,
};
constexpr std::uint32_t kStateMask = 7;

struct Request {
  // The state in the lower three bits, above them the number of the use. What a
  // futex waits on.
  std::atomic<std::uint32_t> word{kFree};
  // Set before "posted"; read by the handler.
  char* room = nullptr;
  std::size_t room_size = 0;
  Answers* answers = nullptr;
  // Set by the handler before "captured".
  Capture capture;
};

// When it is first asked whether those who have not answered ever will.
constexpr std::chrono::milliseconds kFirstLook(2);

// Chunk k has 64 << k requests.
constexpr std::uint32_t kFirstChunk = 64;
constexpr int kChunks = 18;  // 16 million threads

Request first_chunk[kFirstChunk];
// Release where one is set, acquire where one is used: its requests are made.
std::atomic<Request*> chunks[kChunks] = {{first_chunk}};

int ChunkOf(std::uint32_t index) {
  return 31 - __builtin_clz(index / kFirstChunk + 1);
}

std::uint32_t FirstOf(int chunk) { return kFirstChunk * ((1u << chunk) - 1); }

// Null if it was never mapped.
Request* RequestAt(std::uint32_t index) {
  const int chunk = ChunkOf(index);
  if (chunk >= kChunks) return nullptr;
  Request* const requests = chunks[chunk].load(std::memory_order_acquire);
  return requests == nullptr ? nullptr : requests + (index - FirstOf(chunk));
}

// By the system call: mmap() may be somebody else's, with a lock in it.
bool MapChunk(int chunk) {
  if (chunk >= kChunks) return false;
  const std::size_t count = kFirstChunk << chunk;
  const long mapped =
      syscall(SYS_mmap, nullptr, count * sizeof(Request),
              PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == -1) return false;
  auto* const requests = reinterpret_cast<Request*>(mapped);
  for (std::size_t i = 0; i < count; ++i) new (requests + i) Request;
  Request* expected = nullptr;
  if (!chunks[chunk].compare_exchange_strong(expected, requests,
                                             std::memory_order_acq_rel)) {
    syscall(SYS_munmap, mapped, count * sizeof(Request));
  }
  return true;
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
// that belong to the interrupted function (psABI of x86-64, section 3.2.2). In
// its last instruction the rbp that it has just popped is still found there.
constexpr std::uintptr_t kRedZone = 128;

StackBounds CopiedPart(const StackSnapshot& snapshot, std::size_t size) {
  const StackBounds& stack = snapshot.bounds;
  if (!stack.Contains(snapshot.sp)) return StackBounds();
  const std::uintptr_t low =
      snapshot.sp - std::min(kRedZone, snapshot.sp - stack.low);
  return StackBounds{
      low, low + (std::min<std::uintptr_t>(size, stack.high - low) & ~7ul)};
}

// Takes one answer off. The last one wakes who waits. Nothing of `answers` is
// touched after that, but by the kernel, which looks for sleepers only.
void Answer(Answers* answers) {
  std::atomic<std::uint32_t>* const missing = &answers->missing;
  if (missing->fetch_sub(1, std::memory_order_acq_rel) == 1) {
    FutexWakeAll(missing);
  }
}

// Runs on the interrupted thread.
void Handle(int, siginfo_t* info, void* context) {
  if (info->si_code != SI_QUEUE || info->si_pid != getpid()) return;
  const int saved_errno = errno;
  const auto cookie =
      reinterpret_cast<std::uintptr_t>(info->si_value.sival_ptr);
  Request* const request = RequestAt(static_cast<std::uint32_t>(cookie));
  if (request == nullptr) return;
  const auto number = static_cast<std::uint32_t>(cookie >> 32) & ~kStateMask;
  std::uint32_t expected = number | kPosted;
  // Acquire: what was asked is of this use.
  if (!request->word.compare_exchange_strong(expected, number | kEntered,
                                             std::memory_order_acquire)) {
    return;  // it came too late
  }
  const ThreadRegisters registers =
      RegistersOf(*static_cast<const ucontext_t*>(context));
  Capture& capture = request->capture;
  capture = Capture();
  StackSnapshot& snapshot = capture.snapshot;
  snapshot.is_interrupted = true;
  snapshot.pc = registers.pc;
  snapshot.sp = registers.sp;
  snapshot.fp = registers.fp;
  snapshot.link = registers.link;
  snapshot.bounds = StackOfCallerIfKnown();
  capture.in_library_code = LibraryCode::IsOnThisThread();
  if (request->room != nullptr) {
    capture.copied = CopyStack(snapshot, request->room, request->room_size);
  }
  Answers* const answers = request->answers;
  request->word.store(number | kCaptured, std::memory_order_release);
  Answer(answers);
  while (request->word.load(std::memory_order_acquire) ==
         (number | kCaptured)) {
    FutexWait(&request->word, number | kCaptured);
  }
  // Nobody reads it any more. Left there, an address of code that is to be
  // unloaded would look as if it were in use (base/wiped.h).
  capture = Capture();
  request->word.store(number | kFree, std::memory_order_release);
  errno = saved_errno;
}

// The turn: the thread that has it, and how often it took it.
std::atomic<std::uint32_t> turn_owner{0};
std::atomic<std::uint32_t> turn_count{0};

// Of the threads that were held, or held others, none is in the child.
void ForgetInChild() {
  turn_owner.store(0, std::memory_order_relaxed);
  turn_count.store(0, std::memory_order_relaxed);
  for (auto& chunk : chunks) {
    Request* const requests = chunk.load(std::memory_order_relaxed);
    if (requests == nullptr) continue;
    const std::uint32_t count = kFirstChunk << (&chunk - chunks);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t word =
          requests[i].word.load(std::memory_order_relaxed);
      requests[i].word.store((word & ~kStateMask) | kFree,
                             std::memory_order_relaxed);
    }
  }
}

[[gnu::constructor]] void RegisterForkHandlers() {
  SetForkHandlers(ForkOrder::kInterrupted, {nullptr, nullptr, &ForgetInChild});
}

bool SendSignal(pid_t tid, int signal, const RequestUse& use) {
  siginfo_t info = {};
  info.si_signo = signal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = reinterpret_cast<void*>(
      (std::uintptr_t{use.number} << 32) | std::uintptr_t{use.index});
  return syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, signal, &info) == 0;
}

// Whether the system knows it, by sending it to the calling thread for a
// request that there is not. qemu's user mode takes a handler for the last two,
// and has no such signals to send.
bool CanBeSent(int signal) {
  return SendSignal(static_cast<pid_t>(syscall(SYS_gettid)), signal,
                    RequestUse()) ||
         errno != EINVAL;
}

struct sigaction OurAction() {
  struct sigaction action = {};
  action.sa_sigaction = &Handle;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  // Nothing else runs on a stack that is being walked.
  sigfillset(&action.sa_mask);
  // Except traps, which the handler does not run into: whoever changes code
  // refuses while a thread blocks them.
  sigdelset(&action.sa_mask, SIGTRAP);
  return action;
}

absl::StatusOr<int> ChooseSignal() {
  const struct sigaction action = OurAction();
  for (int number = SIGRTMAX; number >= SIGRTMIN; --number) {
    struct sigaction current;
    if (sigaction(number, nullptr, &current) != 0) continue;
    // By a thread of the parent that had not said so when it was forked.
    if (HasSameHandler(current, action)) return number;
    if (current.sa_handler != SIG_DFL || (current.sa_flags & SA_SIGINFO) != 0) {
      continue;
    }
    if (sigaction(number, &action, nullptr) != 0) continue;
    if (CanBeSent(number)) return number;
    sigaction(number, &current, nullptr);
  }
  return absl::ResourceExhaustedError(
      "no real-time signal is free to interrupt threads with: every one from "
      "SIGRTMIN to SIGRTMAX has a handler");
}

// A request that is claimed for the caller, from `*scan` on. Null if there is
// no memory for more.
Request* Claim(std::uint32_t* scan, RequestUse* use) {
  for (std::uint32_t index = *scan;; ++index) {
    Request* const request = RequestAt(index);
    if (request == nullptr) {
      if (!MapChunk(ChunkOf(index))) return nullptr;
      --index;
      continue;
    }
    std::uint32_t word = request->word.load(std::memory_order_relaxed);
    if ((word & kStateMask) != kFree) continue;
    const std::uint32_t number = (word & ~kStateMask) + kStateMask + 1;
    // Acquire, paired with the store of "free": its last user is done with it.
    if (!request->word.compare_exchange_strong(word, number | kClaimed,
                                               std::memory_order_acquire)) {
      continue;
    }
    *scan = index + 1;
    *use = RequestUse{index, number, ForkGeneration()};
    return request;
  }
}

}  // namespace

const absl::StatusOr<int>& ChosenSignal() {
  static ForkOnce<absl::StatusOr<int>> signal;
  return signal.Get(&ChooseSignal);
}

bool IsOurs(int signal) { return KeepHandler(signal, OurAction()); }

bool TakeTurn(TimePoint deadline) {
  const auto self = static_cast<std::uint32_t>(syscall(SYS_gettid));
  while (true) {
    std::uint32_t owner = 0;
    // Acquire, paired with the release store in ReturnTurn(). Who has the turn
    // finds its own number, which it wrote itself.
    if (turn_owner.compare_exchange_strong(owner, self,
                                           std::memory_order_acquire) ||
        owner == self) {
      turn_count.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
    if (Clock::now() >= deadline) return false;
    FutexWait(&turn_owner, owner, &deadline);
  }
}

void ReturnTurn() {
  if (turn_count.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  turn_owner.store(0, std::memory_order_release);
  FutexWakeAll(&turn_owner);
}

bool IsOfThisProcess(const RequestUse& use) {
  return use.generation == ForkGeneration();
}

RequestUse OfThisProcess() {
  RequestUse use;
  use.generation = ForkGeneration();
  return use;
}

bool ReserveRequests(std::size_t count) {
  for (int chunk = 0; chunk < kChunks && FirstOf(chunk) < count; ++chunk) {
    if (chunks[chunk].load(std::memory_order_acquire) == nullptr &&
        !MapChunk(chunk)) {
      return false;
    }
  }
  return true;
}

Outcome Post(pid_t tid, int signal, char* room, std::size_t room_size,
             Answers* answers, TimePoint deadline, std::uint32_t* scan,
             RequestUse* use) {
  Request* const request = Claim(scan, use);
  if (request == nullptr) return Outcome::kNoMemory;
  request->room = room;
  request->room_size = room_size;
  request->answers = answers;
  answers->missing.fetch_add(1, std::memory_order_relaxed);
  request->word.store(use->number | kPosted, std::memory_order_release);
  bool is_sent;
  // EAGAIN: as many signals are queued as may be (RLIMIT_SIGPENDING). They
  // become fewer as threads answer.
  while (!(is_sent = SendSignal(tid, signal, *use)) && errno == EAGAIN &&
         Clock::now() < deadline) {
    sched_yield();
  }
  if (is_sent) return Outcome::kPosted;
  const int error = errno;
  // Nobody has seen it.
  request->word.store(use->number | kFree, std::memory_order_release);
  answers->missing.fetch_sub(1, std::memory_order_relaxed);
  *use = RequestUse();
  errno = error;
  return error == ESRCH ? Outcome::kNoThread : Outcome::kNotSent;
}

void AllPosted(Answers* answers) { Answer(answers); }

bool AwaitAnswers(Answers* answers, TimePoint deadline,
                  absl::FunctionRef<void()> look) {
  std::chrono::nanoseconds pause = kFirstLook;
  TimePoint next = Clock::now() + pause;
  while (true) {
    const std::uint32_t missing =
        answers->missing.load(std::memory_order_acquire);
    if (missing == 0) return true;
    const TimePoint now = Clock::now();
    if (now >= deadline) return false;
    if (now >= next) {
      look();
      pause *= 2;
      next = now + pause;
      continue;
    }
    // Only the last answer wakes; the others change the word, so that this
    // returns at once if one comes now.
    const TimePoint until = std::min(next, deadline);
    FutexWait(&answers->missing, missing, &until);
  }
}

bool IsAnswered(const RequestUse& use) {
  return RequestAt(use.index)->word.load(std::memory_order_relaxed) !=
         (use.number | kPosted);
}

bool Cancel(const RequestUse& use, Answers* answers) {
  std::atomic<std::uint32_t>& word = RequestAt(use.index)->word;
  std::uint32_t expected = use.number | kPosted;
  if (word.compare_exchange_strong(expected, use.number | kFree,
                                   std::memory_order_acq_rel)) {
    Answer(answers);
    return true;
  }
  return false;
}

void AwaitRest(Answers* answers) {
  while (const std::uint32_t missing =
             answers->missing.load(std::memory_order_acquire)) {
    FutexWait(&answers->missing, missing);
  }
}

const Capture& CaptureOf(const RequestUse& use) {
  return RequestAt(use.index)->capture;
}

void LetGo(const RequestUse& use) {
  std::atomic<std::uint32_t>& word = RequestAt(use.index)->word;
  word.store(use.number | kReleased, std::memory_order_release);
  FutexWakeAll(&word);
}

StackBounds CopyStack(const StackSnapshot& snapshot, char* room,
                      std::size_t room_size) {
  const StackBounds copied = CopiedPart(snapshot, room_size);
  CopyWords(room, copied.low, copied.high - copied.low);
  return copied;
}

}  // namespace stack_internal
}  // namespace instar
