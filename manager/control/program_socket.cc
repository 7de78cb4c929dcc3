// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Why no socket of a living program is removed as stale.
//
// A stale socket is told by connect(), which nobody but a listener lets
// succeed. There are two moments at which that could deceive:
//   (a) a program has bound its socket and does not listen yet;
//   (b) between the refusal and the removal, another program (with the same
//       number, as numbers are used again) binds a socket of that name.
// So a program binds and listens under an exclusive lock of the folder, and
// whoever removes a name connects and removes under the same lock. Under it (a)
// and (b) cannot be; and what is refused then is refused for good: a socket
// that was closed never listens again.
//
// The lock is that of flock() on the folder itself: it leaves no file, and the
// kernel gives it up with its holder. It is held for a few system calls of
// which none waits. A holder that is stopped (by a debugger) would make others
// wait: FindPrograms() then leaves stale sockets where they are, and a program
// that starts gives up after two seconds.

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/linux/own_descriptor.h"
#include "base/status_macros.h"
#include "manager/control/internal/socket_files.h"
#include "manager/control/socket_directory.h"
#include "manager/control/socket_name.h"

namespace instar {
namespace {

using manager_internal::DirectoryLock;
using manager_internal::Failed;
using manager_internal::FileDescriptor;
using manager_internal::NewSocket;
using manager_internal::OpenSocketDirectory;
using manager_internal::ScanSocketDirectory;
using manager_internal::SocketAddress;
using manager_internal::SocketName;

constexpr int kBacklog = 64;  // connections that wait to be accepted

}  // namespace

absl::StatusOr<ProgramSocket> ProgramSocket::Listen(
    const std::string& program, const SocketFolders& folders) {
  if (program.empty() || program[0] == '.' ||
      program.find('/') != std::string::npos ||
      program.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", program, "\" cannot name a program: a name is part of a file ",
        "name, and does not begin with a dot"));
  }
  INSTAR_ASSIGN_OR_RETURN(const std::string path,
                          PrepareSocketDirectory(folders));
  INSTAR_ASSIGN_OR_RETURN(OwnDescriptor directory, OpenSocketDirectory(path));

  const std::string name =
      absl::StrCat(path, "/", SocketName(program, getpid()));
  INSTAR_ASSIGN_OR_RETURN(const sockaddr_un address, SocketAddress(name));

  constexpr int kTwoSeconds = 200;
  const std::optional<DirectoryLock> lock =
      DirectoryLock::Take(&directory, kTwoSeconds);
  if (!lock.has_value()) {
    return absl::UnavailableError(absl::StrCat(
        "another process keeps ", path, " locked (is it stopped? `fuser ", path,
        "` names it); end it and try again"));
  }
  // A stale socket among those of others is not this program's concern: an
  // error is of no importance.
  ScanSocketDirectory(path, &*lock).IgnoreError();
  ProgramSocket result;  // after the lock: an early end removes its name first
  FileDescriptor made = NewSocket(SOCK_NONBLOCK);
  if (made.number() < 0 && errno == EAFNOSUPPORT) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no socket for ", name, ": ", std::strerror(errno),
        "; in the unit file of a service: RestrictAddressFamilies=AF_UNIX"));
  }
  if (made.number() < 0) return Failed("no socket for", name, errno);
  result.socket_ = OwnDescriptor(made.Release());
  const int socket = result.descriptor();
  if (bind(socket, reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0) {
    if (errno == EADDRINUSE) {
      return absl::AlreadyExistsError(absl::StrCat(
          name, " is in use: this process has started a control server of ",
          "that name already, or one with the same number in another ",
          "container; give it another name"));
    }
    return Failed("cannot bind", name, errno);
  }
  result.path_ = name;  // removed with it from now on
  result.owner_ = getpid();
  result.user_ = geteuid();
  struct stat bound = {};
  lstat(name.c_str(), &bound);
  result.device_ = bound.st_dev;
  result.inode_ = bound.st_ino;
  // The folder keeps others out; this is for programs that look at the socket.
  chmod(name.c_str(), 0600);
  if (listen(socket, kBacklog) != 0) {
    return Failed("cannot listen on", name, errno);
  }
  return result;
}

ProgramSocket::ProgramSocket(ProgramSocket&& other) noexcept
    : socket_(std::move(other.socket_)),
      path_(std::exchange(other.path_, "")),
      owner_(other.owner_),
      user_(other.user_),
      device_(other.device_),
      inode_(other.inode_) {}

ProgramSocket& ProgramSocket::operator=(ProgramSocket&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(path_, other.path_);
  std::swap(owner_, other.owner_);
  std::swap(user_, other.user_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

bool ProgramSocket::IsNamed() const {
  struct stat named;
  return !path_.empty() && lstat(path_.c_str(), &named) == 0 &&
         named.st_dev == device_ && named.st_ino == inode_;
}

bool ProgramSocket::IsReachable() const {
  return socket_.number() >= 0 && user_ == geteuid() && IsNamed();
}

// The name goes first, while the socket still listens: nobody else removes it,
// or takes it, before. One that was made anew meanwhile is another socket's.
ProgramSocket::~ProgramSocket() {
  if (owner_ == getpid() && IsNamed()) unlink(path_.c_str());
}

}  // namespace instar
