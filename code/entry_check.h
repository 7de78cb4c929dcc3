// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Finds redirected functions whose entry somebody else has changed since: a
// probe (`perf probe`, bpftrace, anything that the kernel calls a uprobe) that
// is set on a redirected entry takes the jump away, and the function runs its
// old code, while all others run the new one.
//
//   for (const ChangedEntry& entry : CheckRedirectedEntries()) {
//     remarks.push_back(entry.ToString());
//   }
//
// It is meant to be called every second or so. It puts right what it can: once
// the probe is gone the entry is redirected again, and while it is there the
// bytes behind it are made such that its removal leaves a whole instruction
// (MakeSafeBehindBreakpoint() in code/internal/entry_state.h).
//
// Threads: from any thread, not in a signal handler. Takes CodeLock, and takes
// locks and allocates if there is something to tell. A record takes some ns.

#ifndef INSTAR_CODE_ENTRY_CHECK_H_
#define INSTAR_CODE_ENTRY_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

namespace instar {

struct ChangedEntry {
  uintptr_t entry = 0;
  std::string function;  // its name, for people
  // It had lost its redirection, and has it again.
  bool is_restored = false;
  // Why that failed, if it was tried.
  std::string error;

  // "F runs old code: its entry was changed by somebody else ..."
  std::string ToString() const;
};

std::vector<ChangedEntry> CheckRedirectedEntries();

}  // namespace instar

#endif  // INSTAR_CODE_ENTRY_CHECK_H_
