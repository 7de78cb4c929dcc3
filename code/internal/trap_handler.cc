// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// instar_trap_handler() runs in the middle of patches. It calls nothing but
// system calls of libc and the handler before ours, and no inline function of
// which the linker might keep an updatable copy. The file is compiled without
// sanitizers for the same reason.

#include "code/internal/trap_handler.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "code/internal/entry_record.h"
#include "code/internal/thread_survey.h"

namespace instar {

namespace code_internal {
namespace {

constexpr unsigned char kInt3 = 0xCC;

// What handled SIGTRAP before ours, and before that: a list, latest first,
// which only grows. Read by the handler with acquire order, paired with the
// store in InstallTrapHandler(): whoever sees an element sees its action.
struct PreviousHandler {
  struct sigaction action;
  PreviousHandler* before;
};
PreviousHandler* g_previous = nullptr;

// Who a signal was handed to last is noted in its siginfo_t, in the padding at
// the end, which the kernel fills with zeros. A handler that was installed over
// ours, and over which ours was then installed again, may hand the signal back
// to us: the next older one gets it then, so that it does not go round forever.
// In the signal, not in a variable of the thread: a handler may leave by a
// jump.
struct HandedTo {
  uint64_t mark;
  PreviousHandler* handler;
};
constexpr uint64_t kHandedMark = 0x696e737461722d68;
constexpr size_t kHandedAt = sizeof(siginfo_t) - sizeof(HandedTo);

void DieOfTrap() {
  struct sigaction by_default;
  memset(&by_default, 0, sizeof(by_default));
  by_default.sa_handler = SIG_DFL;
  sigaction(SIGTRAP, &by_default, nullptr);
  syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGTRAP);
}

void HandOn(int signal, siginfo_t* info, void* context) {
  char* const note = reinterpret_cast<char*>(info) + kHandedAt;
  HandedTo handed;
  memcpy(&handed, note, sizeof(handed));
  PreviousHandler* const to =
      handed.mark == kHandedMark
          ? handed.handler->before
          : __atomic_load_n(&g_previous, __ATOMIC_ACQUIRE);
  // SI_KERNEL: an int3. The kernel lets nobody ignore it.
  if (to == nullptr || to->action.sa_handler == SIG_DFL ||
      (to->action.sa_handler == SIG_IGN && info->si_code == SI_KERNEL)) {
    if (instar_patch_while_traced == 0) DieOfTrap();
    return;
  }
  if (to->action.sa_handler == SIG_IGN) return;
  // What the kernel would have blocked for it; returning from the signal
  // unblocks it.
  sigprocmask(SIG_BLOCK, &to->action.sa_mask, nullptr);
  handed = {kHandedMark, to};
  memcpy(note, &handed, sizeof(handed));
  if ((to->action.sa_flags & SA_SIGINFO) != 0) {
    to->action.sa_sigaction(signal, info, context);
  } else {
    to->action.sa_handler(signal);
  }
}

// Where a thread goes on that ran into a trap at `pc`, or 0 if the trap is not
// ours.
INSTAR_HANDLER_SAFE uintptr_t AfterTrap(uintptr_t pc) {
  EntryRecord* const record = FindEntryRecord(pc);
  if (record == nullptr) return 0;
  for (int i = 0; i < 1000; ++i) {
    // Stored before the trap was written: a thread that has run into the trap
    // sees it, unless the patch is complete by now.
    const uintptr_t resume =
        __atomic_load_n(&record->trap_resume, __ATOMIC_ACQUIRE);
    if (resume != 0) return resume;
    // Cleared after the last byte was written, so the entry is whole again: the
    // thread runs it. A trap that is there all the same belongs to the next
    // patch, whose trap_resume is then there too, or is somebody else's.
    if (__atomic_load_n(reinterpret_cast<const unsigned char*>(pc),
                        __ATOMIC_ACQUIRE) != kInt3) {
      return pc;
    }
  }
  return 0;
}

// Where a thread goes on that was interrupted at `pc`, which is somewhere else
// if it stands between the one-byte no-ops of an entry that is being patched.
INSTAR_HANDLER_SAFE uintptr_t OutOfEntry(uintptr_t pc) {
  for (uintptr_t inside = 1; inside < kEntrySize; ++inside) {
    EntryRecord* const record = FindEntryRecord(pc - inside);
    if (record != nullptr &&
        __atomic_load_n(&record->trap_resume, __ATOMIC_ACQUIRE) != 0) {
      return record->entry + kEntrySize;
    }
  }
  return pc;
}

INSTAR_HANDLER_SAFE uint64_t FlushValue(const siginfo_t* info) {
  return reinterpret_cast<uint64_t>(info->si_value.sival_ptr);
}

INSTAR_HANDLER_SAFE uint64_t FlushMark(const siginfo_t* info) {
  return FlushValue(info) >> 32;
}

// Pairs with the load in text_patch.cc: whoever sees the answer knows that this
// thread has left the entry. Only ever raised, since a thread may answer late.
INSTAR_HANDLER_SAFE void Answer(uint32_t number) {
  uint32_t last = __atomic_load_n(&instar_flush_answer, __ATOMIC_RELAXED);
  while (last < number &&
         !__atomic_compare_exchange_n(&instar_flush_answer, &last, number, true,
                                      __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
  }
}

}  // namespace

extern "C" {
uint32_t instar_flush_answer = 0;
}

extern "C" void instar_trap_handler(int signal, siginfo_t* info,
                                    void* context) {
  greg_t& rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  // SIGTRAP is not queued: that of a trap is lost if another one is pending,
  // and then this is the other one. So the program counter is what counts.
  const uintptr_t next = AfterTrap(static_cast<uintptr_t>(rip) - 1);
  if (next != 0) rip = static_cast<greg_t>(next);
  if (info->si_code == SI_QUEUE && info->si_pid == getpid() &&
      FlushMark(info) == kFlushMark) {
    rip = static_cast<greg_t>(OutOfEntry(static_cast<uintptr_t>(rip)));
    Answer(static_cast<uint32_t>(FlushValue(info)));
    return;
  }
  // A debugger that passes the signal of a trap on makes another si_code of it.
  if (next != 0) return;
  const int saved_errno = errno;
  HandOn(signal, info, context);
  errno = saved_errno;
}

absl::Status InstallTrapHandler() {
  struct sigaction current;
  if (sigaction(SIGTRAP, nullptr, &current) == 0 &&
      (current.sa_flags & SA_SIGINFO) != 0 &&
      current.sa_sigaction == instar_trap_handler) {
    return absl::OkStatus();
  }
  // Not deferred: a handler that a trap was handed on to may call functions
  // that are being patched. Not on the alternative stack of a thread: it may be
  // smaller than what the kernel puts there for one signal (AT_MINSIGSTKSZ;
  // 2 KiB is allowed, AVX-512 takes 3.5), and nobody can tell from another
  // thread. A stack on which a function begins has room for the calls that it
  // makes.
  struct sigaction ours;
  memset(&ours, 0, sizeof(ours));
  ours.sa_sigaction = instar_trap_handler;
  ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
  // Published first: a trap may come the moment that ours is the handler.
  __atomic_store_n(&g_previous, new PreviousHandler{current, g_previous},
                   __ATOMIC_RELEASE);
  if (sigaction(SIGTRAP, &ours, nullptr) != 0) {
    return absl::InternalError(
        absl::StrCat("cannot install the SIGTRAP handler that changing code "
                     "needs: ",
                     strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace code_internal
}  // namespace instar
