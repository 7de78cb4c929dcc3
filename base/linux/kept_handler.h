// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A signal handler of the library's, looked at before the signal is sent: a
// program may reset all signals after it was installed, as daemon(7) advises,
// and would then be ended by the signal.
//
//   if (!KeepHandler(signal, ours)) ...   // the program handles it: not sent
//
// Threads: any. Async-signal-safe; allocates nothing and takes no lock.

#ifndef INSTAR_BASE_LINUX_KEPT_HANDLER_H_
#define INSTAR_BASE_LINUX_KEPT_HANDLER_H_

#include <signal.h>

namespace instar {

inline bool HasSameHandler(const struct sigaction& a,
                           const struct sigaction& b) {
  return (a.sa_flags & SA_SIGINFO) == (b.sa_flags & SA_SIGINFO) &&
         a.sa_handler == b.sa_handler;
}

// SIG_DFL or SIG_IGN.
inline bool HasNoHandler(const struct sigaction& action) {
  return action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN;
}

// Whether `ours` handles the signal. It is put back over SIG_DFL and SIG_IGN;
// false if there is another handler, which stays. What a program does to the
// signal between this and the arrival of what is sent is not seen.
inline bool KeepHandler(int signal, const struct sigaction& ours) {
  struct sigaction found;
  if (sigaction(signal, nullptr, &found) != 0) return false;
  if (HasSameHandler(found, ours)) return true;
  if (!HasNoHandler(found)) return false;
  if (sigaction(signal, &ours, &found) != 0) return false;
  if (HasSameHandler(found, ours) || HasNoHandler(found)) return true;
  // It was installed in between.
  sigaction(signal, &found, nullptr);
  return false;
}

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_KEPT_HANDLER_H_
