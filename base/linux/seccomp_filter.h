// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a seccomp filter would do with a system call, found out before this
// process makes it: many filters end whoever calls what they do not list
// (SystemCallFilter= of systemd).
//
//   const SystemCall call = {"ptrace", SYS_ptrace, {PTRACE_SEIZE}};
//   if (AnswerOfFilter(call).verdict == FilterVerdict::kEnds) ...
//
// A filter cannot be read by whom it binds. So a child process, which shares no
// memory with this one and leaves no core dump, makes the calls and is looked
// at. The program does not notice it: it sends no SIGCHLD, and only a waitpid()
// with __WALL or __WCLONE would see it. The kernel may log that it was ended.
// Where no filter is in force no child is made.
//
// What is asked about is asked with these arguments: a call that the kernel
// itself answers without an effect, and not by EPERM, EACCES or ENOSYS, which
// are taken for the filter's. What must be allowed already: clone(2) without
// flags, wait4(2), mmap(2) and rt_sigprocmask(2), and prctl(2) in the child.
//
// Filters belong to threads: all this is about the calling one, and those that
// it starts later. Allocates nothing, and takes no lock.

#ifndef INSTAR_BASE_LINUX_SECCOMP_FILTER_H_
#define INSTAR_BASE_LINUX_SECCOMP_FILTER_H_

#include "absl/types/span.h"

struct sock_fprog;  // <linux/filter.h>

namespace instar {

struct SystemCall {
  const char* name;
  long number;
  long arguments[5] = {};
};

enum class FilterVerdict {
  kAllows,
  kRefuses,   // the call fails
  kEnds,      // the process, or by a SIGSYS that it has to handle
  kNotKnown,  // no child can be made, or it waits for somebody
};

struct FilterAnswer {
  FilterVerdict verdict = FilterVerdict::kAllows;
  int error = 0;  // of kRefuses
};

// How many filters are in force; a kernel before 5.9 tells only whether there
// are some, which counts as 1. 0 also if /proc is not there.
int CountSeccompFilters();

// One call; and several, at most 64, into `answers`, which has as many. With
// `more`, as it would be if that filter, which is not in force yet, were laid
// on top of the others: all are kNotKnown if the kernel does not take it.
FilterAnswer AnswerOfFilter(const SystemCall& call);
void AskSeccompFilter(absl::Span<const SystemCall> calls,
                      absl::Span<FilterAnswer> answers,
                      const sock_fprog* more = nullptr);

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_SECCOMP_FILTER_H_
