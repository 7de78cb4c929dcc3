// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The end of a process that is no child of this one.
//
//   INSTAR_ASSIGN_OR_RETURN(ProcessEnd end, ProcessEnd::Of(program.pid));
//   ...  poll() for POLLIN of end.descriptor() ...
//   if (end.has_come()) Say(end.Find().ToString());   // "signal 11 (...)"
//
// The process is held by a pidfd: another one that gets its number later is not
// taken for it.
//
// Threads: any.

#ifndef INSTAR_TOOLS_WATCH_PROCESS_END_H_
#define INSTAR_TOOLS_WATCH_PROCESS_END_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace instarctl {

// How a process has ended. Neither is known if whoever started it has asked
// before, and the kernel (before Linux 6.15) keeps it for nobody else.
struct Ending {
  std::optional<int> exit_code;
  std::optional<int> signal;

  // By a signal that nobody sends to ask for an end: one of a fault, abort(),
  // or SIGKILL, as of the kernel that is out of memory.
  bool is_crash() const;
  // "signal 11 (Segmentation fault)", "exit code 1", "no known cause"
  std::string ToString() const;
};

class ProcessEnd {
 public:
  // Errors: NotFound if there is no such process; Internal.
  static absl::StatusOr<ProcessEnd> Of(pid_t pid);

  pid_t pid() const { return pid_; }
  // Becomes readable when the process has ended.
  int descriptor() const { return process_.number(); }
  bool has_come() const { return Await(std::chrono::milliseconds(0)); }
  // Whether it came within the limit, signals or not.
  bool Await(std::chrono::milliseconds limit) const;

  // After the end.
  Ending Find() const;

 private:
  ProcessEnd(pid_t pid, manager_internal::FileDescriptor process)
      : pid_(pid), process_(std::move(process)) {}

  pid_t pid_;
  manager_internal::FileDescriptor process_;
};

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_WATCH_PROCESS_END_H_
