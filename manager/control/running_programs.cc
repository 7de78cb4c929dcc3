// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/linux/own_descriptor.h"
#include "base/status_macros.h"
#include "manager/control/internal/socket_files.h"
#include "manager/control/listening_processes.h"
#include "manager/control/socket_directory.h"

namespace instar {
namespace {

using manager_internal::ConnectSocket;
using manager_internal::DirectoryLock;
using manager_internal::Failed;
using manager_internal::FileDescriptor;
using manager_internal::FindListeningProcesses;
using manager_internal::Listener;
using manager_internal::ListeningProcess;
using manager_internal::NewSocket;
using manager_internal::OpenSocketDirectory;
using manager_internal::ProbeSocket;
using manager_internal::ScanSocketDirectory;
using manager_internal::SocketAddress;

// Those that no folder shows, as far as they can be reached from here.
void AddHidden(std::vector<RunningProgram>& programs,
               std::vector<std::string>* hints) {
  for (const ListeningProcess& process : FindListeningProcesses()) {
    const auto is_it = [&](const RunningProgram& program) {
      return program.pid == process.pid && program.name == process.name;
    };
    if (std::any_of(programs.begin(), programs.end(), is_it)) continue;
    const std::string who = absl::StrCat(process.name, " (", process.pid,
                                         ") listens on ", process.socket);
    if (process.user != geteuid() && geteuid() != 0) {
      if (hints != nullptr) {
        hints->push_back(absl::StrCat(who, ", and runs as user ", process.user,
                                      ": ask as that user, or as root"));
      }
      continue;
    }
    // As it is named here, or in the file system that the process sees.
    bool is_reached = false;
    for (const std::string& path :
         {process.socket,
          absl::StrCat("/proc/", process.pid, "/root", process.socket)}) {
      // Not where a link leads that somebody has put there.
      struct stat status;
      if (lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) {
        continue;
      }
      const absl::StatusOr<Listener> listener = ProbeSocket(path);
      if (!listener.ok() || *listener != Listener::kLiving) continue;
      programs.push_back({process.name, process.pid, path});
      is_reached = true;
      break;
    }
    if (!is_reached && hints != nullptr) {
      hints->push_back(absl::StrCat(
          who,
          ", which cannot be reached: its name was removed, or lies in "
          "another file system. The program makes it anew within a second "
          "where it can; else let both name one folder by $",
          kSocketDirectoryVariable));
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<RunningProgram>> FindPrograms(
    std::vector<std::string>* hints) {
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> directories,
                          FindSocketDirectories());
  const bool was_chosen = !SocketFolders::FromEnvironment().chosen.empty();
  std::vector<RunningProgram> programs;
  for (const std::string& path : directories) {
    INSTAR_ASSIGN_OR_RETURN(OwnDescriptor directory, OpenSocketDirectory(path));
    const std::optional<DirectoryLock> lock =
        DirectoryLock::Take(&directory, 0);
    INSTAR_ASSIGN_OR_RETURN(
        std::vector<RunningProgram> found,
        ScanSocketDirectory(path, lock.has_value() ? &*lock : nullptr));
    programs.insert(programs.end(), std::make_move_iterator(found.begin()),
                    std::make_move_iterator(found.end()));
  }
  if (!was_chosen) {
    AddHidden(programs, hints);
  } else if (hints != nullptr) {
    std::vector<RunningProgram> elsewhere = programs;
    AddHidden(elsewhere, hints);
    for (std::size_t i = programs.size(); i < elsewhere.size(); ++i) {
      hints->push_back(absl::StrCat(elsewhere[i].name, " (", elsewhere[i].pid,
                                    ") listens on ", elsewhere[i].socket,
                                    ", which is not in $",
                                    kSocketDirectoryVariable));
    }
  }
  std::sort(programs.begin(), programs.end(),
            [](const RunningProgram& a, const RunningProgram& b) {
              return std::tie(a.name, a.pid, a.socket) <
                     std::tie(b.name, b.pid, b.socket);
            });
  return programs;
}

absl::StatusOr<FileDescriptor> ConnectTo(const std::string& path) {
  INSTAR_ASSIGN_OR_RETURN(const sockaddr_un address, SocketAddress(path));
  FileDescriptor connection = NewSocket(SOCK_NONBLOCK);
  if (connection.number() < 0) return Failed("no socket for", path, errno);
  const int error = ConnectSocket(connection.number(), address);
  switch (error) {
    case 0:
      break;
    case ENOENT:
    case ECONNREFUSED:
    case ENOTDIR:
      return absl::NotFoundError(
          absl::StrCat("no program listens on ", path,
                       "; `instarctl ps` lists those that ", "do"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat("user ", geteuid(), " may not connect to ", path));
    case EAGAIN:
      return absl::UnavailableError(
          absl::StrCat("too many clients wait to be served by the program on ",
                       path, "; is it stopped?"));
    default:
      return Failed("cannot connect to", path, error);
  }
  if (fcntl(connection.number(), F_SETFL, 0) != 0) {
    return Failed("cannot set up", path, errno);
  }
  return connection;
}

}  // namespace instar
