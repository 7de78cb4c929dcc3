// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program that is one process, wherever it lives: in another mount, network
// or process namespace, or in another root (a service with a /tmp of its own, a
// container, after chroot(2)).
//
//   INSTAR_ASSIGN_OR_RETURN(RunningProgram program, FindProgramOf(4711));
//   INSTAR_ASSIGN_OR_RETURN(ControlClient client,
//                           ControlClient::Connect(program.socket));
//
// Its sockets are those that /proc/PID/net/unix lists; their paths lead through
// /proc/PID/root. Who listens at the other end is asked of the kernel
// (SO_PEERCRED), so that no other process is taken for it.
//
// Threads: any.

#ifndef INSTAR_MANAGER_CONTROL_PROCESS_SOCKET_H_
#define INSTAR_MANAGER_CONTROL_PROCESS_SOCKET_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "manager/control/socket_directory.h"

namespace instar {

// `pid` is its number here.
// Errors: NotFound (no such process, or it has no manager), PermissionDenied
// (its root must not be entered: it is another user's, or not dumpable),
// FailedPrecondition (its socket has no name that leads to it).
absl::StatusOr<RunningProgram> FindProgramOf(pid_t pid);

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_PROCESS_SOCKET_H_
