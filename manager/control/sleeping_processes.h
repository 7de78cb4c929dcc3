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
// The handler makes system calls, for which a seccomp filter may end the
// process. So the signal is sent only if every thread that can take it has no
// more filters than the manager of the program was found to start under: the
// agent leaves their number in the name of a mapping (kFiltersMark). Filters
// are never taken away, and children have their parent's, so that they are the
// same ones then.
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

// What the agent calls the mapping that says how many seccomp filters it was
// found to work under, "/memfd:instar-filters-2 (deleted)" for two. Not there:
// none.
inline constexpr char kFiltersMark[] = "instar-filters-";

struct SleepingProcess {
  std::string name;  // $INSTAR_NAME, or the executable's
  pid_t pid = 0;
};

// Of this user, or, for root, of all; if $INSTAR_SOCKET_DIRECTORY is set, those
// that were started with the same one, and will listen there.
std::vector<SleepingProcess> FindSleepingProcesses();
// The process of this number, wherever it will listen, if it is one; also one
// that has the agent and handles SIGURG no more, of which Wake() says so.
std::optional<SleepingProcess> FindSleepingProcess(pid_t pid);

// Waits until it has a manager. The signal comes a few times, after pauses that
// grow to a second: it may be for a handler of the program's own. Errors:
// NotFound (it has ended, or is none), PermissionDenied, FailedPrecondition (no
// signal was sent: a seccomp filter might end it, or SIGURG is ignored or at
// its default), DeadlineExceeded (none of its threads has waited in the kernel
// when it was asked, all block the signal, or its manager could not start).
absl::StatusOr<RunningProgram> Wake(const SleepingProcess& process,
                                    std::chrono::nanoseconds limit);

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_SLEEPING_PROCESSES_H_
