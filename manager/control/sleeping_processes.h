// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Processes that can have a manager and have none yet: children of a program
// with the agent (manager/agent/), such as the workers of a prefork server or
// the child that daemon() leaves. They have no thread and no descriptor of ours
// until somebody asks for them.
//
// A process is one if it has mapped the agent, is no thread of another, has no
// control server's thread, and has installed the agent's handler of SIGURG,
// whose default is to do nothing. Wake() sends that signal with a value that
// the handler knows; it starts a manager when it finds the thread that takes
// the signal waiting in the kernel, and otherwise leaves it to be asked again.
//
// Threads: any. What is found is out of date when it is read.

#ifndef INSTAR_MANAGER_CONTROL_SLEEPING_PROCESSES_H_
#define INSTAR_MANAGER_CONTROL_SLEEPING_PROCESSES_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "manager/control/socket_directory.h"

namespace instar {

// What the signal carries.
inline constexpr int kWakeValue = 0x1257a7;

struct SleepingProcess {
  std::string name;  // $INSTAR_NAME, or the executable's
  pid_t pid = 0;
};

// Of this user, or, for root, of all; if $INSTAR_SOCKET_DIRECTORY is set, those
// that were started with the same one, and will listen there.
std::vector<SleepingProcess> FindSleepingProcesses();
// The process of this number, wherever it will listen, if it is one.
std::optional<SleepingProcess> FindSleepingProcess(pid_t pid);

// Waits until it has a manager. Errors: NotFound (it has ended, or is none),
// PermissionDenied, DeadlineExceeded (none of its threads has waited in the
// kernel when it was asked, or its manager could not start).
absl::StatusOr<RunningProgram> Wake(const SleepingProcess& process,
                                    std::chrono::nanoseconds limit);

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_SLEEPING_PROCESSES_H_
