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
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int fault : kFaults) sigdelset(&blocked, fault);
    if (allowed != 0) sigdelset(&blocked, allowed);
    pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

  // For good, on a thread that handles none of the program's signals: the
  // faults and the allowed signal are not blocked, whoever started it.
  static void Admit(int allowed) {
    sigset_t admitted;
    sigemptyset(&admitted);
    for (const int fault : kFaults) sigaddset(&admitted, fault);
    if (allowed != 0) sigaddset(&admitted, allowed);
    pthread_sigmask(SIG_UNBLOCK, &admitted, nullptr);
  }

 private:
  static constexpr int kFaults[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE,
                                    SIGILL,  SIGABRT, SIGSYS};

  sigset_t before_;
};

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_BLOCKED_SIGNALS_H_
