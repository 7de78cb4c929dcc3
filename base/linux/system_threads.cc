// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/system_threads.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/linux/tasks.h"
#include "base/linux/translator.h"

namespace instar {
namespace {

// Of include/linux/sched.h: what a thread of the kernel has in the field
// "flags" of its stat file.
constexpr unsigned long kIoWorker = 0x10;
constexpr unsigned long kUserWorker = 0x4000;
constexpr unsigned long kKernelThread = 0x200000;

// The signal that glibc keeps for its timers (SIGTIMER).
constexpr std::uint64_t kTimerSignal = std::uint64_t{1} << (32 - 1);

bool IsWorkerOfKernel(pid_t tid) {
  char text[512];
  if (!ReadTaskFile(tid, "stat", text, sizeof(text))) return false;
  // The name, in parentheses, may have spaces in it. State, parent, group,
  // session, terminal, its group, flags.
  const char* at = std::strrchr(text, ')');
  for (int i = 0; at != nullptr && i < 7; ++i) at = std::strchr(at + 1, ' ');
  if (at == nullptr) return false;
  return (std::strtoul(at + 1, nullptr, 10) &
          (kIoWorker | kUserWorker | kKernelThread)) != 0;
}

// What the program's threads block, a translator keeps for itself; the kernel
// lets it block all signals but for a moment. Its own threads block for good
// all that libc lets them, except what tells of faults (qemu_thread_create()):
// by that they are known, also while they run.
bool IsOfTranslator(pid_t tid) {
  constexpr std::uint64_t kRealTime = ~std::uint64_t{0} << (35 - 1);
  constexpr std::uint64_t kFaults = std::uint64_t{1} << (SIGILL - 1) |
                                    std::uint64_t{1} << (SIGFPE - 1) |
                                    std::uint64_t{1} << (SIGSEGV - 1);
  if (!IsTranslated()) return false;
  const std::uint64_t blocked = SignalsBlockedBy(tid).value_or(0);
  return (blocked & kRealTime) == kRealTime && (blocked & kFaults) == 0;
}

}  // namespace

bool RunsProgramCode(pid_t tid) {
  return !IsWorkerOfKernel(tid) && !IsOfTranslator(tid);
}

bool IsThreadOfTimers(pid_t tid) {
  return SignalsAwaitedBy(tid) == kTimerSignal;
}

}  // namespace instar
