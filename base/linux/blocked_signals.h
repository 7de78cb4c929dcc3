// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Keeps the program's signal handlers off a thread for a while.
//
//   {
//     const BlockedSignals blocked;
//     worker = std::thread(...);     // handles none of the program's signals
//   }
//
// Blocked is every signal but those that report a fault of the thread itself,
// and one that may be named: that by which threads are stopped
// (stack/interrupted_thread.h), or whoever wants to stop all of them would wait
// for this one in vain. SIGTRAP is among the faults, by which code is patched
// while threads run (code/internal/text_patch.h). A signal of the process goes
// to another thread, one of this thread comes afterwards. A thread that is
// started meanwhile inherits it.
//
// Threads: constructed and destroyed on the same one.

#ifndef INSTAR_BASE_LINUX_BLOCKED_SIGNALS_H_
#define INSTAR_BASE_LINUX_BLOCKED_SIGNALS_H_

#include <pthread.h>
#include <signal.h>

namespace instar {

class BlockedSignals {
 public:
  // 0: no other.
  explicit BlockedSignals(int allowed = 0) {
    sigset_t all;
    sigfillset(&all);
    for (const int fault :
         {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS}) {
      sigdelset(&all, fault);
    }
    if (allowed != 0) sigdelset(&all, allowed);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_BLOCKED_SIGNALS_H_
