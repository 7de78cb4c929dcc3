// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A thread that the library starts for itself in somebody else's program.
//
//   INSTAR_ASSIGN_OR_RETURN(
//       worker_, StartOwnThread("instar-worker", [this] { Work(); }));
//
// It handles none of the program's signals (base/linux/blocked_signals.h): a
// program that blocks a signal in its own threads, to take it by sigwait() or
// signalfd(), would be killed by it if the kernel gave it to this one. It can
// be stopped as all threads can: the signal for that is open.
//
// Whoever stops all threads leaves these alone where they run nothing of the
// program, and must go on meanwhile: IsOwnThread() tells.
//
// Threads: any. What asks for other threads allocates nothing and takes no
// lock.

#ifndef INSTAR_BASE_LINUX_OWN_THREAD_H_
#define INSTAR_BASE_LINUX_OWN_THREAD_H_

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <thread>

#include "absl/status/statusor.h"

namespace instar {

// What runs on one.
enum class OwnThreadRuns {
  kAnything,
  // Code of this library that calls nothing of the program or of an update's
  // author: no signal that it takes when it begins is ever blocked there.
  kLibraryAlone,
};

// `name` is shown by ps and top: at most 15 characters.
// ResourceExhausted if the system gives no thread.
absl::StatusOr<std::thread> StartOwnThread(
    const char* name, std::function<void()> body,
    OwnThreadRuns runs = OwnThreadRuns::kAnything);

// From now on each has a root folder of its own, that of whoever starts it, and
// "/" as its working folder: what the program does later by chroot(2) or
// chdir(2) does not concern it. Not where a seccomp filter forbids unshare(2).
void KeepRootOfOwnThreads();

// Whether the calling thread is one.
bool IsOwnThread();
// The same of any thread of this process. May be false of one.
bool IsOwnThread(pid_t tid);
// Whether it is one that was started with kLibraryAlone.
bool RunsLibraryAlone(pid_t tid);

// How many there are, never more than threads of the process that are some; and
// a number that is another one when one has begun or ended since.
struct OwnThreads {
  int count;
  std::uint32_t changes;
};
OwnThreads CountOwnThreads();

// The signals that a thread of the program, started by it now, would block:
// those of the calling thread, or, if that is an own thread, those of the
// program's first thread.
sigset_t SignalsBlockedByProgram();

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_OWN_THREAD_H_
