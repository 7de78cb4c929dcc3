// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads of this process that the program did not start.
//
//   if (!RunsProgramCode(tid)) return;   // not in the way
//
// Threads: any. Allocates nothing and takes no lock, so that it can be used
// while other threads are stopped.

#ifndef INSTAR_BASE_LINUX_SYSTEM_THREADS_H_
#define INSTAR_BASE_LINUX_SYSTEM_THREADS_H_

#include <sys/types.h>

namespace instar {

// False only where it is sure: of workers of the kernel (io_uring), and where
// the program is translated (qemu's user mode) of the translator's own threads.
// They block every signal, need not be stopped, take no trap, and start nothing
// that does.
bool RunsProgramCode(pid_t tid);

// Whether glibc makes timers of the kind SIGEV_THREAD by this thread. It starts
// a thread for each expiry, at any moment, calls nothing of the program itself,
// and lasts as long as the process. It blocks every signal, and so do those
// that it starts (glibc 2.36 unblocks only its own), which call the program's
// function so. True only where it is sure: while it waits for its next timer,
// by a signal that programs cannot use.
bool IsThreadOfTimers(pid_t tid);

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_SYSTEM_THREADS_H_
