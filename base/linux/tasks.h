// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The threads of this process, as the kernel lists them in /proc.
//
//   VisitTasks([&](pid_t tid) { ++count; return true; });
//
// Works in a process whose first thread has ended. Allocates nothing and takes
// no lock, so that it can be used while other threads are stopped.

#ifndef INSTAR_BASE_LINUX_TASKS_H_
#define INSTAR_BASE_LINUX_TASKS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"

namespace instar {

// Calls `visit` for each thread until it answers false. A thread that begins
// meanwhile may be missed, one that ends may be listed. Returns false, with
// errno set, if the threads cannot be listed.
bool VisitTasks(absl::FunctionRef<bool(pid_t tid)> visit);

// Reads /proc/self/task/TID/`name` (such as "stat") into `text`, at most
// `size` - 1 bytes, and ends it with a zero. False, with errno set, if there is
// no such thread or the file cannot be read.
//
// The file is open for some microseconds, under the number that open(2) gave
// it. A program that closes all descriptors just then, and opens a file that
// gets the number, is noticed: its file is not read for ours, nothing of it is
// consumed, and it stays open. What is left is a program that does both between
// the last look and the close(2) behind it. (A number that no program comes to,
// as that of an OwnDescriptor, has to be made of one from open(2), in which
// time the same could happen.)
bool ReadTaskFile(pid_t tid, const char* name, char* text, std::size_t size);

// Whether the thread runs no more, though it may still be listed. Of one whose
// file cannot be read, perhaps for want of a descriptor: whether the kernel
// knows no such thread.
bool HasTaskEnded(pid_t tid);

// Of a thread's status file.
struct TaskStatus {
  // The signals that it blocks, number N as bit N - 1; without those that
  // SignalsAwaitedBy() has.
  std::uint64_t blocked = 0;
  // How many seccomp filters bind it; a kernel before 5.9 tells only whether
  // there are some, which counts as 1.
  int filters = 0;
  // In SECCOMP_MODE_STRICT.
  static constexpr int kStrict = 0x7fffffff;
};

// Nothing if it cannot be read. Allocates nothing.
std::optional<TaskStatus> StatusOfTask(pid_t tid);
std::optional<std::uint64_t> SignalsBlockedBy(pid_t tid);

// The signals that it waits for by sigwait(), sigwaitinfo() or sigtimedwait(),
// whether it blocks them otherwise or not. 0 if it waits for none, or if the
// kernel does not tell; all of them if the list is not there any more.
std::uint64_t SignalsAwaitedBy(pid_t tid);

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_TASKS_H_
