// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/text_patch.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/at_fork.h"
#include "base/check.h"
#include "base/error_text.h"
#include "base/linux/seccomp_filter.h"
#include "base/linux/system_threads.h"
#include "base/linux/traced_threads.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "code/internal/own_memory.h"
#include "code/internal/thread_survey.h"
#include "code/internal/trap_handler.h"

namespace instar {

namespace code_internal {
namespace {

constexpr unsigned char kInt3 = 0xCC;
constexpr uintptr_t kPageSize = 4096;

// For how long a thread that blocks SIGTRAP is looked at again, and how often.
// libc blocks all signals for a moment when it starts or ends a thread, and
// runs none of the program's functions then; on a busy machine such a thread
// may have to wait for a processor in between.
constexpr absl::Duration kLookLimit = absl::Seconds(1);
// The same while nothing forbids to stop it: it was not run in time.
constexpr absl::Duration kBusyLimit = absl::Seconds(5);
constexpr absl::Duration kLookInterval = absl::Microseconds(100);

// For how long one such thread is waited for to stop.
constexpr absl::Duration kHoldLimit = absl::Milliseconds(200);
// It is stopped after that time: most go on by themselves.
constexpr absl::Duration kPatience = absl::Milliseconds(2);

// For how long a thread is waited for that is to leave an entry. It blocks
// SIGTRAP if it began to after it was looked at.
constexpr absl::Duration kFlushLimit = absl::Seconds(1);

ssize_t RealWriteAt(int file, const void* bytes, size_t size,
                    uintptr_t address) {
  return pwrite(file, bytes, size, static_cast<off_t>(address));
}

int RealSerialize() {
  return static_cast<int>(syscall(
      SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0));
}

// All under the lock.
TextPatchCalls g_calls = {&RealWriteAt, &RealSerialize};
bool g_barrier_registered = false;
bool g_has_asked_filter = false;
const char* g_call_that_ends = nullptr;  // the process
bool g_traps_are_stuck = false;

pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;

void BeforeFork() { pthread_mutex_lock(&g_mutex); }
void AfterForkInParent() { pthread_mutex_unlock(&g_mutex); }
void AfterForkInChild() {
  CloseOwnMemory();
  g_barrier_registered = false;
  pthread_mutex_unlock(&g_mutex);
}

[[gnu::constructor]] void RegisterForkHandlers() {
  SetForkHandlers(ForkOrder::kCode,
                  {&BeforeFork, &AfterForkInParent, &AfterForkInChild});
}

// Every core that runs a thread of this process has executed a serializing
// instruction after this: no core goes on with bytes that it fetched before.
absl::Status Serialize() {
  if (g_calls.serialize() == 0) return absl::OkStatus();
  return ErrorWithText(absl::StatusCode::kUnavailable,
                       "membarrier(PRIVATE_EXPEDITED_SYNC_CORE) failed: %s",
                       strerrordesc_np(errno));
}

// What is done here that a seccomp filter may end the process for; what it
// answers otherwise is an error of the call.
constexpr SystemCall kUsedCalls[] = {
    {"membarrier", SYS_membarrier, {MEMBARRIER_CMD_QUERY}},
    {"pwrite64", SYS_pwrite64, {-1}},
    {"rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, {-1, -1}},
};
constexpr size_t kUsedCallCount = sizeof(kUsedCalls) / sizeof(kUsedCalls[0]);

// Asked once, before the first of them is made.
absl::Status CheckFilter() {
  if (!g_has_asked_filter) {
    FilterAnswer answers[kUsedCallCount];
    AskSeccompFilter(kUsedCalls, absl::MakeSpan(answers));
    for (size_t i = 0; i < kUsedCallCount; ++i) {
      if (answers[i].verdict == FilterVerdict::kEnds) {
        g_call_that_ends = kUsedCalls[i].name;
      }
    }
    g_has_asked_filter = true;
  }
  if (g_call_that_ends == nullptr) return absl::OkStatus();
  return ErrorWithText(
      absl::StatusCode::kFailedPrecondition,
      "code of this process cannot be changed: a seccomp filter would end this "
      "process for a call of %s(2); in the unit file of a service: "
      "SystemCallFilter=%s",
      g_call_that_ends, g_call_that_ends);
}

absl::Status RegisterBarrier() {
  if (g_barrier_registered) return absl::OkStatus();
  if (syscall(SYS_membarrier,
              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) != 0) {
    return ErrorWithText(
        absl::StatusCode::kUnavailable,
        "membarrier(REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) failed: %s; code "
        "cannot be changed safely while threads run. Linux 4.16 has it, unless "
        "a sandbox forbids it: SystemCallFilter=membarrier in the unit file of "
        "a service allows it",
        strerrordesc_np(errno));
  }
  g_barrier_registered = true;
  return absl::OkStatus();
}

// Which of the bytes of its entries a phase writes.
enum class Part { kTrap, kTail, kFirst, kAll };
enum class Bytes { kNew, kOld };

void Overlay(unsigned char* at, Part part, const unsigned char* bytes) {
  switch (part) {
    case Part::kTrap:
      *at = kInt3;
      break;
    case Part::kTail:
      memcpy(at + 1, bytes + 1, kEntrySize - 1);
      break;
    case Part::kFirst:
      *at = *bytes;
      break;
    case Part::kAll:
      memcpy(at, bytes, kEntrySize);
      break;
  }
}

// One write a page. What lies between the entries of a page is written too,
// with the bytes that it has.
absl::Status WritePart(const EntryChange* changes, size_t count, Part part,
                       Bytes bytes) {
  unsigned char text[kPageSize + kEntrySize];
  for (size_t i = 0; i < count;) {
    const uintptr_t begin = changes[i].record->entry;
    size_t end = i + 1;
    while (end < count &&
           changes[end].record->entry / kPageSize == begin / kPageSize) {
      ++end;
    }
    const size_t size = changes[end - 1].record->entry + kEntrySize - begin;
    memcpy(text, reinterpret_cast<const void*>(begin), size);
    for (; i < end; ++i) {
      Overlay(text + (changes[i].record->entry - begin), part,
              bytes == Bytes::kNew ? changes[i].bytes : changes[i].old_bytes);
    }
    INSTAR_RETURN_IF_ERROR(WriteOwnMemory(begin, text, size, g_calls.write_at));
  }
  return absl::OkStatus();
}

absl::Status WritePartAndSerialize(const EntryChange* changes, size_t count,
                                   Part part, Bytes bytes) {
  INSTAR_RETURN_IF_ERROR(WritePart(changes, count, part, bytes));
  return Serialize();
}

// What FlushThread() could not do, if anything.
struct FlushFailure {
  int error = 0;         // of the signal
  pid_t unanswered = 0;  // a thread
};

// Asks one thread to leave the inside of an entry, and waits until it has.
bool FlushThread(pid_t thread, void* argument) {
  static uint32_t number = 0;
  auto& failure = *static_cast<FlushFailure*>(argument);
  if (thread == static_cast<pid_t>(syscall(SYS_gettid))) return true;
  if (!ExecutesCode(thread)) return true;
  // It has been looked where.
  if (TracedThreads::IsHeldByThisThread(thread)) return true;
  ++number;
  siginfo_t info;
  memset(&info, 0, sizeof(info));
  info.si_signo = SIGTRAP;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr =
      reinterpret_cast<void*>((kFlushMark << 32) | number);
  // SIGTRAP is not queued, so one that comes while another is pending is lost:
  // it is sent again. A thread that enters a system call before it takes the
  // signal has left the entry too.
  const absl::Time give_up = absl::Now() + kFlushLimit;
  for (unsigned spins = 0;
       __atomic_load_n(&instar_flush_answer, __ATOMIC_ACQUIRE) < number;
       ++spins) {
    if (spins % 64 == 0) {
      if (spins != 0 && !ExecutesCode(thread)) break;
      if (absl::Now() > give_up) {
        failure.unanswered = thread;
        return false;
      }
      if (syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, SIGTRAP, &info) !=
          0) {
        if (errno == ESRCH) break;
        failure.error = errno;
        return false;
      }
    }
    sched_yield();
  }
  return true;
}

absl::Status FlushThreads(const EntryChange* changes, size_t count) {
  if (std::none_of(changes, changes + count, [](const EntryChange& change) {
        return change.single_byte_no_ops;
      })) {
    return absl::OkStatus();
  }
  FlushFailure failure;
  INSTAR_RETURN_IF_ERROR(ForEachThread(&FlushThread, &failure));
  if (failure.error != 0) {
    return ErrorWithText(absl::StatusCode::kUnavailable,
                         "cannot signal a thread of this process: %s",
                         strerrordesc_np(failure.error));
  }
  if (failure.unanswered != 0) {
    return ErrorWithText(
        absl::StatusCode::kUnavailable,
        "thread %d may stand in a function entry that is to be changed, and "
        "does not take the SIGTRAP that would drive it out: it blocks that "
        "signal, or is stopped; try again",
        failure.unanswered);
  }
  return absl::OkStatus();
}

absl::Status WriteUnderTraps(const EntryChange* changes, size_t count,
                             Bytes bytes) {
  INSTAR_RETURN_IF_ERROR(
      WritePartAndSerialize(changes, count, Part::kTrap, bytes));
  if (bytes == Bytes::kNew) {
    INSTAR_RETURN_IF_ERROR(FlushThreads(changes, count));
  }
  INSTAR_RETURN_IF_ERROR(
      WritePartAndSerialize(changes, count, Part::kTail, bytes));
  return WritePartAndSerialize(changes, count, Part::kFirst, bytes);
}

void SetTrapResume(const EntryChange* changes, size_t count, bool set) {
  for (size_t i = 0; i < count; ++i) {
    EntryRecord* const record = changes[i].record;
    // Pairs with the load in AfterTrap(), code/internal/trap_handler.cc. Before
    // the trap: a thread that runs into it must not find 0. After the last
    // byte: a thread that finds 0 must find the whole entry.
    __atomic_store_n(&record->trap_resume, set ? record->target : 0,
                     __ATOMIC_RELEASE);
  }
}

absl::Status WriteBatch(const EntryChange* changes, size_t count,
                        bool under_traps, Bytes bytes) {
  return under_traps ? WriteUnderTraps(changes, count, bytes)
                     : WritePartAndSerialize(changes, count, Part::kAll, bytes);
}

// Reads the bytes that the batch replaces.
absl::Status ReadOldBytes(EntryChange* changes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const uintptr_t entry = changes[i].record->entry;
    INSTAR_CHECK(i == 0 || changes[i - 1].record->entry + kEntrySize <= entry)
        << "the entries of a batch must be different and in ascending order";
    memcpy(changes[i].old_bytes, reinterpret_cast<const void*>(entry),
           kEntrySize);
    if (changes[i].old_bytes[0] == kInt3) {
      return ErrorWithText(
          absl::StatusCode::kFailedPrecondition,
          "somebody else's breakpoint (int3) stands at the function entry %#x; "
          "remove it and try again",
          entry);
    }
  }
  return absl::OkStatus();
}

bool IsInsideEntry(const EntryChange* changes, size_t count, uintptr_t pc) {
  return std::any_of(changes, changes + count, [pc](const EntryChange& change) {
    const uintptr_t entry = change.record->entry;
    return pc > entry && pc < entry + kEntrySize;
  });
}

// Stops a thread that would die of a trap. One that stands in the midst of an
// entry goes on: the next look finds it again.
void HoldDeafThread(pid_t thread, const EntryChange* changes, size_t count,
                    TracedThreads& deaf) {
  TracedThreads::Registers registers;
  const auto limit =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kHoldLimit);
  if (deaf.Hold(thread, limit, &registers) == TracedThreads::Result::kHeld &&
      IsInsideEntry(changes, count, registers.pc)) {
    deaf.Release(thread);
  }
}

// Whether threads may run into a trap, or why there must be none. Those that
// must not are held by `deaf` afterwards.
absl::Status CheckOtherThreads(const EntryChange* changes, size_t count,
                               bool& others_run, TracedThreads& deaf) {
  ThreadSurvey survey;
  const absl::Time begin = absl::Now();
  while (true) {
    INSTAR_RETURN_IF_ERROR(SurveyThreads(survey));
    others_run = survey.threads > 1;
    if (!others_run || survey.blocks_trap == 0) break;
    const absl::Duration waited = absl::Now() - begin;
    if (waited > (deaf.refusal().call == nullptr ? kBusyLimit : kLookLimit)) {
      break;
    }
    if (waited > kPatience) {
      HoldDeafThread(survey.blocks_trap, changes, count, deaf);
    }
    if (!TracedThreads::IsHeldByThisThread(survey.blocks_trap)) {
      absl::SleepFor(kLookInterval);
    }
  }
  if (!others_run) return absl::OkStatus();
  if (survey.blocks_trap != 0) {
    const TracedThreads::Refusal& refusal = deaf.refusal();
    return ErrorWithText(
        absl::StatusCode::kFailedPrecondition,
        "thread '%s' (%d) blocks SIGTRAP, so that the kernel would kill the "
        "process if it, or a thread that it starts, ran into a function that "
        "is being changed, and it cannot be stopped meanwhile: %s: %s; %s",
        absl::string_view(survey.blocks_trap_name), survey.blocks_trap,
        refusal.call == nullptr ? "it does not stop" : refusal.call,
        refusal.call == nullptr ? "in time" : strerrordesc_np(refusal.error),
        IsThreadOfTimers(survey.blocks_trap)
            ? "it is glibc's, of timers (SIGEV_THREAD): end what forbids "
              "tracing; or let timers send a signal or be read (SIGEV_SIGNAL, "
              "timerfd_create), and restart the program"
            : "unblock the signal there (pthread_sigmask) and try again");
  }
  if (survey.tracer != 0 && instar_patch_while_traced == 0) {
    return ErrorWithText(
        absl::StatusCode::kFailedPrecondition,
        "process %d traces this one and would stop it at every function that "
        "is being changed; detach it, or tell gdb: handle SIGTRAP nostop "
        "noprint pass, and then: set variable instar_patch_while_traced=1",
        survey.tracer);
  }
  return absl::OkStatus();
}

absl::Status PutBack(const EntryChange* changes, size_t count, bool under_traps,
                     const absl::Status& cause) {
  constexpr int kAttempts = 3;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (WriteBatch(changes, count, under_traps, Bytes::kOld).ok()) {
      SetTrapResume(changes, count, false);
      return cause;
    }
  }
  // The traps that stand keep their trap_resume.
  g_traps_are_stuck = true;
  return ErrorWithText(
      absl::StatusCode::kDataLoss,
      "changing code failed half way and could not be undone, so that some "
      "calls go through a trap now; no code can be changed any more. Restart "
      "the program. The cause: %s",
      TextOf(cause));
}

absl::Status WriteBatchOrPutBack(const EntryChange* changes, size_t count,
                                 bool under_traps) {
  if (under_traps) SetTrapResume(changes, count, true);
  const absl::Status written =
      WriteBatch(changes, count, under_traps, Bytes::kNew);
  if (!written.ok()) return PutBack(changes, count, under_traps, written);
  if (under_traps) SetTrapResume(changes, count, false);
  return absl::OkStatus();
}

}  // namespace

CodeLock::CodeLock() {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int signal :
       {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS}) {
    sigdelset(&blocked, signal);
  }
  pthread_sigmask(SIG_BLOCK, &blocked, &saved_mask_);
  pthread_mutex_lock(&g_mutex);
}

CodeLock::~CodeLock() {
  pthread_mutex_unlock(&g_mutex);
  pthread_sigmask(SIG_SETMASK, &saved_mask_, nullptr);
}

absl::Status PrepareToWriteCode(const CodeLock&) {
  INSTAR_RETURN_IF_ERROR(CheckFilter());
  INSTAR_RETURN_IF_ERROR(OpenOwnMemory(g_calls.write_at));
  INSTAR_RETURN_IF_ERROR(RegisterBarrier());
  return InstallTrapHandler();
}

absl::Status WriteEntries(const CodeLock& lock, EntryChange* changes,
                          size_t count, OtherThreads others) {
  if (count == 0) return absl::OkStatus();
  if (g_traps_are_stuck) {
    return ErrorWithText(
        absl::StatusCode::kDataLoss,
        "an earlier change of code failed half way and could not be undone; "
        "restart the program");
  }
  INSTAR_RETURN_IF_ERROR(PrepareToWriteCode(lock));
  INSTAR_RETURN_IF_ERROR(ReadOldBytes(changes, count));
  if (others == OtherThreads::kHeld) {
    return WriteBatchOrPutBack(changes, count, /*under_traps=*/false);
  }
  absl::Status written;
  {
    const NoAllocation some_may_be_held;
    TracedThreads deaf;
    bool others_run = false;
    written = CheckOtherThreads(changes, count, others_run, deaf);
    if (written.ok()) {
      written = WriteBatchOrPutBack(changes, count, others_run);
    }
  }
  return NoAllocation::IsOnThisThread() ? written
                                        : WithText(std::move(written));
}

absl::Status WriteUnusedCode(const CodeLock& lock, uintptr_t address,
                             const void* bytes, size_t size) {
  INSTAR_RETURN_IF_ERROR(PrepareToWriteCode(lock));
  return WriteOwnMemory(address, bytes, size, g_calls.write_at);
}

ScopedTextPatchCalls::ScopedTextPatchCalls(const TextPatchCalls& calls) {
  CodeLock lock;
  g_calls = calls;
}

ScopedTextPatchCalls::~ScopedTextPatchCalls() {
  CodeLock lock;
  g_calls = Real();
}

const TextPatchCalls& ScopedTextPatchCalls::Real() {
  static constexpr TextPatchCalls kReal = {&RealWriteAt, &RealSerialize};
  return kReal;
}

void ForgetStuckTrapsForTesting(const CodeLock&) { g_traps_are_stuck = false; }

}  // namespace code_internal
}  // namespace instar
