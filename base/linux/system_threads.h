// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads of this process that block every signal and run no code of the
// program: they need not be stopped, and need take no trap themselves.
//
//   if (!RunsProgramCode(tid)) return;   // not in the way
//
// These are workers of the kernel (io_uring), and the thread by which glibc
// makes timers of the kind SIGEV_THREAD: while it waits for its next timer,
// which glibc alone can do (it waits for a signal that programs cannot use). It
// starts a thread for each expiry and calls nothing itself; but that thread
// blocks all the signals that it blocks (glibc 2.36 unblocks only its own), and
// calls the program's function so. Where the program is translated (qemu's user
// mode), the translator's own threads, too.
//
// Threads: any. Allocates nothing and takes no lock, so that it can be used
// while other threads are stopped.

#ifndef INSTAR_BASE_LINUX_SYSTEM_THREADS_H_
#define INSTAR_BASE_LINUX_SYSTEM_THREADS_H_

#include <sys/types.h>

namespace instar {

// False only where it is sure.
bool RunsProgramCode(pid_t tid);

// Of one that runs no code of the program: whether it may start threads that
// do, as that of the timers does at any moment unless it is held by tracing
// (base/linux/traced_threads.h).
bool StartsThreads(pid_t tid);

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_SYSTEM_THREADS_H_
