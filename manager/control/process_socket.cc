// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/process_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "manager/control/listening_processes.h"
#include "manager/control/process_file.h"
#include "manager/control/socket_name.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace {

using manager_internal::FileDescriptor;
using manager_internal::ListeningPaths;
using manager_internal::ParseSocketName;
using manager_internal::ReadProcessFile;

// Its number in its own namespace, which is the last one of the line.
pid_t OwnNumberOf(pid_t pid, const std::string& status) {
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (!absl::ConsumePrefix(&line, "NSpid:")) continue;
    pid_t number = 0;
    const std::size_t last = line.find_last_of(" \t");
    if (absl::SimpleAtoi(line.substr(last + 1), &number)) return number;
  }
  return pid;
}

bool IsListening(const FileDescriptor& connection, pid_t pid) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(connection.number(), SOL_SOCKET, SO_PEERCRED, &peer,
                    &size) == 0 &&
         peer.pid == pid;
}

}  // namespace

absl::StatusOr<RunningProgram> FindProgramOf(pid_t pid) {
  const std::string folder = absl::StrCat("/proc/", pid);
  const std::string status = ReadProcessFile(folder + "/status");
  if (status.empty()) {
    return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  }
  const pid_t own_number = OwnNumberOf(pid, status);
  const std::string root = folder + "/root";
  RunningProgram program;
  program.pid = pid;
  std::string unreached;
  absl::Status refused;
  for (const std::string& path :
       ListeningPaths(ReadProcessFile(folder + "/net/unix"))) {
    pid_t number = 0;
    if (!ParseSocketName(path.substr(path.rfind('/') + 1), &program.name,
                         &number) ||
        number != own_number) {
      continue;
    }
    unreached = path;
    // In its own root, or in this one, which it may have left since.
    for (const std::string& candidate : {root + path, path}) {
      // Not where a link leads that somebody has put there.
      struct stat file;
      if (lstat(candidate.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) {
        continue;
      }
      const absl::StatusOr<FileDescriptor> connection = ConnectTo(candidate);
      if (!connection.ok()) {
        if (!absl::IsNotFound(connection.status())) {
          refused = connection.status();
        }
      } else if (IsListening(*connection, pid)) {
        program.socket = candidate;
        return program;
      }
    }
  }
  if (!refused.ok()) return refused;
  if (unreached.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "process ", pid,
        " has no manager: it was started without one, or said on its standard "
        "error why it has none"));
  }
  struct stat entered;
  if (stat((root + "/.").c_str(), &entered) != 0 &&
      (errno == EACCES || errno == EPERM)) {
    return absl::PermissionDeniedError(absl::StrCat(
        "process ", pid, " listens on ", unreached, ", and user ", geteuid(),
        " may not enter its root folder, ", root, ": ask as root"));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "process ", pid, " listens on ", unreached,
      ", a name that leads to it neither in its root folder nor in this one; "
      "if it was removed, the program makes it anew within a second"));
}

}  // namespace instar
