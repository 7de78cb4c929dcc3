// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/internal/socket_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "manager/control/socket_name.h"

namespace instar {
namespace manager_internal {

absl::Status Failed(absl::string_view what, const std::string& path,
                    int error) {
  return absl::InternalError(
      absl::StrCat(what, " ", path, ": ", std::strerror(error)));
}

absl::StatusOr<OwnDescriptor> OpenSocketDirectory(const std::string& path) {
  const std::string other =
      absl::StrCat("; or name another folder by $", kSocketDirectoryVariable);
  const int opened =
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (opened < 0) {
    switch (errno) {
      case ENOENT:
        return absl::NotFoundError(absl::StrCat(path, " is not there"));
      case ENOTDIR:
      case ELOOP:
        return absl::FailedPreconditionError(absl::StrCat(
            "the folder for control sockets, ", path,
            ", is no folder, or a symbolic link; remove it", other));
      case EACCES:
        return absl::PermissionDeniedError(absl::StrCat(
            "the folder for control sockets, ", path,
            ", cannot be opened by user ", geteuid(),
            "; it must belong to that user, with mode 0700", other));
      default:
        return Failed("cannot open", path, errno);
    }
  }
  OwnDescriptor directory(opened);
  struct stat status;
  if (fstat(directory.number(), &status) != 0) {
    return Failed("cannot look at", path, errno);
  }
  if (status.st_uid != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the folder for control sockets, ", path, ", belongs to user ",
        status.st_uid, ", and this is user ", geteuid(),
        ": its owner could pretend to be a program; remove it", other));
  }
  if ((status.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "others than its owner may enter the folder for control sockets; "
        "chmod 0700 ",
        path));
  }
  return directory;
}

absl::StatusOr<sockaddr_un> SocketAddress(const std::string& path) {
  static_assert(sizeof(sockaddr_un::sun_path) == kMaxSocketPath + 1);
  if (path.size() > kMaxSocketPath) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the path of a control socket, ", path, ", has ", path.size(),
        " bytes, and the system takes ", kMaxSocketPath,
        "; name a folder with a shorter path by $", kSocketDirectoryVariable));
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

FileDescriptor NewSocket(int flags) {
  return FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

int ConnectSocket(int socket, const sockaddr_un& address) {
  while (connect(socket, reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

absl::StatusOr<Listener> ProbeSocket(const std::string& path) {
  INSTAR_ASSIGN_OR_RETURN(const sockaddr_un address, SocketAddress(path));
  const FileDescriptor probe = NewSocket(SOCK_NONBLOCK);
  if (probe.number() < 0) return Failed("no socket to probe", path, errno);
  switch (ConnectSocket(probe.number(), address)) {
    case 0:
    case EAGAIN:
      return Listener::kLiving;
    case ECONNREFUSED:
      return Listener::kDead;
    default:  // gone meanwhile, or no such socket
      return Listener::kNone;
  }
}

std::optional<DirectoryLock> DirectoryLock::Take(OwnDescriptor* directory,
                                                 int patience_in_steps) {
  constexpr timespec kStep = {0, 10'000'000};  // 10 ms
  auto closed_in_child = std::make_unique<ClosedInChild>(directory);
  while (flock(directory->number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (patience_in_steps-- <= 0) return std::nullopt;
    nanosleep(&kStep, nullptr);
  }
  return DirectoryLock(directory, std::move(closed_in_child));
}

DirectoryLock::~DirectoryLock() {
  if (directory_ != nullptr) flock(directory_->number(), LOCK_UN);
}

absl::StatusOr<std::vector<RunningProgram>> ScanSocketDirectory(
    const std::string& directory, const DirectoryLock* lock) {
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) return Failed("cannot read", directory, errno);
  const absl::Cleanup close = [stream] { closedir(stream); };
  std::vector<RunningProgram> programs;
  while (const dirent* entry = readdir(stream)) {
    RunningProgram program;
    if (!ParseSocketName(entry->d_name, &program.name, &program.pid)) continue;
    program.socket = absl::StrCat(directory, "/", entry->d_name);
    INSTAR_ASSIGN_OR_RETURN(const Listener listener,
                            ProbeSocket(program.socket));
    if (listener == Listener::kLiving) {
      programs.push_back(std::move(program));
    } else if (listener == Listener::kDead && lock != nullptr) {
      unlink(program.socket.c_str());  // if it fails, it stays for the next one
    }
  }
  return programs;
}

}  // namespace manager_internal
}  // namespace instar
