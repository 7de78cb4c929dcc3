// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The folder in which the programs of one user that can be updated are found:
// each listens on a Unix socket there, named PROGRAM.PID.sock.
//
//   INSTAR_ASSIGN_OR_RETURN(ProgramSocket socket,
//                           ProgramSocket::Listen("shop"));
//   accept(socket.descriptor(), nullptr, nullptr);
//
//   INSTAR_ASSIGN_OR_RETURN(std::vector<RunningProgram> programs,
//                           FindPrograms());                  // instarctl ps
//
// Which folder: $INSTAR_SOCKET_DIRECTORY, else $XDG_RUNTIME_DIR/instar, else
// /run/instar/UID where this user may have it, else /tmp/instar-UID, else, for
// a service to which systemd gives one, $RUNTIME_DIRECTORY/instar. An
// XDG_RUNTIME_DIR that does not exist, or belongs to another user (sudo -E), is
// passed over. A user may have a folder in /run/instar if the administrator has
// made that (mode 1777, or one in it for the user), or root, who makes it.
//
// A service has no XDG_RUNTIME_DIR and the shell of the same user has:
// FindPrograms() looks into all of these, unless $INSTAR_SOCKET_DIRECTORY says
// which folder it is. It also asks the system which processes listen
// (manager/control/listening_processes.h): that finds what is in a private
// /tmp, and, for root, the programs of other users.
//
// Who can write to the folder decides what instarctl talks to, so that it must
// belong to this user, who alone may enter it (mode 0700), and must not be a
// symbolic link.
//
// A program that was killed leaves its socket behind. Such a stale socket
// is removed by FindPrograms() and by the start of a program. Why no socket of
// a living program is ever taken for one: see program_socket.cc.
//
// Errors name the folder, the reason and the remedy:
//   PermissionDenied    it is somebody else's, or others may enter it
//   FailedPrecondition  it cannot be made; it is no folder, or a link
//   InvalidArgument     a name that is no file name; a path that is longer than
//                       the 107 bytes that the address of a socket has room for
//   AlreadyExists       a living program has a socket of this name
//   Unavailable         another process keeps the folder locked
//   Internal            a system call failed
//
// Threads: all functions may be called from any thread, but SocketFolders::
// FromEnvironment() only where the program does not change its environment
// meanwhile (setenv): the library's own threads use what was read before.

#ifndef INSTAR_MANAGER_CONTROL_SOCKET_DIRECTORY_H_
#define INSTAR_MANAGER_CONTROL_SOCKET_DIRECTORY_H_

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/linux/own_descriptor.h"
#include "manager/module/file_descriptor.h"

namespace instar {

// Of sun_path, without the zero at its end.
inline constexpr std::size_t kMaxSocketPath = 107;  // bytes

// Names the folder, for programs and for whoever looks for them.
inline constexpr char kSocketDirectoryVariable[] = "INSTAR_SOCKET_DIRECTORY";

// What the environment says of the folder; empty: nothing.
struct SocketFolders {
  static SocketFolders FromEnvironment();

  std::string chosen;   // $INSTAR_SOCKET_DIRECTORY
  std::string runtime;  // $XDG_RUNTIME_DIR
  std::string service;  // $RUNTIME_DIRECTORY, of RuntimeDirectory= of systemd
};

// The path of this user's folder, which is made if it is missing, and checked.
// Other files of a program may live there: PROGRAM.journal.
absl::StatusOr<std::string> PrepareSocketDirectory(
    const SocketFolders& folders = SocketFolders::FromEnvironment());

// Those folders in which programs of this user may be, and that are there.
absl::StatusOr<std::vector<std::string>> FindSocketDirectories();

// Listens in this user's folder until it is destroyed, which removes the
// socket's name. The descriptor is closed in a program that is executed
// (O_CLOEXEC) and does not block. A child made by fork() that destroys its copy
// closes its own descriptor and leaves the name alone.
class ProgramSocket {
 public:
  // `program` is the beginning of its name, PROGRAM.PID.sock.
  static absl::StatusOr<ProgramSocket> Listen(
      const std::string& program,
      const SocketFolders& folders = SocketFolders::FromEnvironment());

  ProgramSocket(ProgramSocket&& other) noexcept;
  ProgramSocket& operator=(ProgramSocket&& other) noexcept;
  ~ProgramSocket();

  // -1 if the program has closed it.
  int descriptor() const { return socket_.number(); }
  OwnDescriptor& own_descriptor() { return socket_; }
  const std::string& path() const { return path_; }

  // The name stays when the socket goes: it is another one's, or nobody's.
  void ForgetName() { path_.clear(); }

  // Whether clients can come: nobody has removed the name (cleaners of /tmp
  // do), closed the descriptor, or made this the process of another user. If
  // not, another one is to listen in its place.
  bool IsReachable() const;

 private:
  ProgramSocket() = default;
  bool IsNamed() const;  // by path_

  OwnDescriptor socket_;
  std::string path_;  // empty: moved from, or forgotten
  pid_t owner_ = 0;   // the process that made it, as this user
  uid_t user_ = 0;
  dev_t device_ = 0;  // of the name
  ino_t inode_ = 0;
};

struct RunningProgram {
  std::string name;
  pid_t pid = 0;
  std::string socket;  // its path
};

// The programs that listen, by name and process; none if there is no folder.
// Removes stale sockets. `hints`, if given, gets a sentence for each program
// that runs and cannot be reached.
absl::StatusOr<std::vector<RunningProgram>> FindPrograms(
    std::vector<std::string>* hints = nullptr);

// A connection to the socket of this path, that blocks.
// Errors: NotFound (no such socket, or nobody listens there), PermissionDenied,
// InvalidArgument (path too long), Unavailable (too many wait to be served).
absl::StatusOr<manager_internal::FileDescriptor> ConnectTo(
    const std::string& path);

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_SOCKET_DIRECTORY_H_
