// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The programs that can be updated as the system knows them, wherever their
// sockets are: also those whose folder cannot be seen from here, as in a
// private /tmp, or whose socket has lost its name.
//
// A process is one if it listens on a Unix socket of the form
// FOLDER/PROGRAM.PID.sock and has a control server's thread. What is found is
// out of date when it is read. Threads: any.

#ifndef INSTAR_MANAGER_CONTROL_LISTENING_PROCESSES_H_
#define INSTAR_MANAGER_CONTROL_LISTENING_PROCESSES_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace instar {
namespace manager_internal {

// By this name, the thread of a control server is known.
inline constexpr char kControlThread[] = "instar-control";

struct ListeningProcess {
  std::string name;
  pid_t pid = 0;
  uid_t user = 0;
  std::string socket;  // its path, in the process's own file system
};

std::vector<ListeningProcess> FindListeningProcesses();

// Of the text of /proc/net/unix, the paths of sockets that are listened on.
std::vector<std::string> ListeningPaths(absl::string_view text);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_LISTENING_PROCESSES_H_
