// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What would become of a signal that is sent to a thread of this process.
//
//   if (ReachOf(tid, signal) == SignalReach::kHandled) ...   // send it
//
// Threads: any. Allocates nothing and takes no lock, so that it can be used
// while other threads are stopped. Some ten microseconds each.

#ifndef INSTAR_BASE_LINUX_SIGNAL_REACH_H_
#define INSTAR_BASE_LINUX_SIGNAL_REACH_H_

#include <sys/types.h>

namespace instar {

enum class SignalReach {
  // The thread runs its handler. Also if nothing can be read of it.
  kHandled,
  // It stays in the queue, as long as the thread blocks it.
  kBlocked,
  // The thread waits for it by sigwaitinfo() or the like, which would return
  // it: no handler runs. Meanwhile the kernel does not say that it blocks it.
  kAwaited,
  // The thread has more seccomp filters than the calling one, or may make next
  // to no system call at all (SECCOMP_MODE_STRICT): a call in the handler could
  // end the process. Of as many filters it is taken that they are the same:
  // laid before the threads began, or on all of them.
  kFiltered,
};

SignalReach ReachOf(pid_t tid, int signal);

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_SIGNAL_REACH_H_
