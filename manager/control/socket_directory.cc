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

#include "manager/control/socket_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/linux/own_descriptor.h"
#include "base/status_macros.h"
#include "manager/control/closed_in_child.h"
#include "manager/control/listening_processes.h"
#include "manager/control/socket_name.h"

namespace instar {
namespace {

using manager_internal::ClosedInChild;
using manager_internal::FileDescriptor;
using manager_internal::FindListeningProcesses;
using manager_internal::ListeningProcess;
using manager_internal::ParseSocketName;
using manager_internal::SocketName;

constexpr char kVariable[] = "INSTAR_SOCKET_DIRECTORY";
constexpr char kSystemDirectory[] = "/run/instar";
constexpr int kBacklog = 64;  // connections that wait to be accepted

std::string SystemDirectory() {
  return absl::StrCat(kSystemDirectory, "/", geteuid());
}
std::string FallbackDirectory() {
  return absl::StrCat("/tmp/instar-", geteuid());
}

std::string Variable(const char* name) {
  const char* const value = getenv(name);
  return value == nullptr ? "" : value;
}

// Where a program may be, in the order in which a program tries them.
absl::StatusOr<std::vector<std::string>> Candidates(
    const SocketFolders& folders) {
  if (!folders.chosen.empty()) {
    if (folders.chosen[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("$", kVariable, " is \"", folders.chosen,
                       "\"; it must be an absolute path"));
    }
    return std::vector<std::string>{folders.chosen};
  }
  std::vector<std::string> directories;
  // One that is relative is to be ignored, as its specification has it. In one
  // of another user, root would make a folder that keeps that user out.
  const std::string& runtime = folders.runtime;
  struct stat status;
  if (!runtime.empty() && runtime[0] == '/' &&
      stat(runtime.c_str(), &status) == 0 && status.st_uid == geteuid()) {
    directories.push_back(absl::StrCat(runtime, "/instar"));
  }
  directories.push_back(SystemDirectory());
  directories.push_back(FallbackDirectory());
  // The first one, if there are several.
  const std::string service =
      folders.service.substr(0, folders.service.find(':'));
  if (!service.empty() && service[0] == '/') {
    directories.push_back(absl::StrCat(service, "/instar"));
  }
  return directories;
}

absl::Status Failed(absl::string_view what, const std::string& path,
                    int error) {
  return absl::InternalError(
      absl::StrCat(what, " ", path, ": ", std::strerror(error)));
}

// Opens the folder and checks that nobody else can reach what is in it.
// NotFound if it is not there.
absl::StatusOr<OwnDescriptor> OpenDirectory(const std::string& path) {
  const std::string other =
      absl::StrCat("; or name another folder by $", kVariable);
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

absl::Status MakeDirectory(const std::string& path) {
  const bool is_there = mkdir(path.c_str(), 0700) == 0 || errno == EEXIST;
  if (is_there && (access(path.c_str(), W_OK) == 0 || errno != EROFS)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the folder for control sockets, ", path,
      is_there ? ", cannot be written: " : ", cannot be made: ",
      std::strerror(errno), "; make it, or name another one by $", kVariable,
      "; in the unit file of a service: RuntimeDirectory=NAME"));
}

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  static_assert(sizeof(sockaddr_un::sun_path) == kMaxSocketPath + 1);
  if (path.size() > kMaxSocketPath) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the path of a control socket, ", path, ", has ", path.size(),
        " bytes, and the system takes ", kMaxSocketPath,
        "; name a folder with a shorter path by $", kVariable));
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

FileDescriptor NewSocket(int flags) {
  return FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

int Connect(int socket, const sockaddr_un& address) {
  while (connect(socket, reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

enum class Listener { kLiving, kDead, kNone };

// Does not wait: EAGAIN means that others wait to be accepted.
absl::StatusOr<Listener> Probe(const std::string& path) {
  INSTAR_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  const FileDescriptor probe = NewSocket(SOCK_NONBLOCK);
  if (probe.number() < 0) return Failed("no socket to probe", path, errno);
  switch (Connect(probe.number(), address)) {
    case 0:
    case EAGAIN:
      return Listener::kLiving;
    case ECONNREFUSED:
      return Listener::kDead;
    default:  // gone meanwhile, or no such socket
      return Listener::kNone;
  }
}

// The exclusive lock of an open folder. A child that is forked while it is held
// does not have it.
class DirectoryLock {
 public:
  // Nothing, if others hold it for the whole time.
  static std::optional<DirectoryLock> Take(OwnDescriptor* directory,
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

  DirectoryLock(DirectoryLock&& other) noexcept
      : directory_(std::exchange(other.directory_, nullptr)),
        closed_in_child_(std::move(other.closed_in_child_)) {}
  // Not left to close(): whoever has got a descriptor of the same open file in
  // another way would keep the lock.
  ~DirectoryLock() {
    if (directory_ != nullptr) flock(directory_->number(), LOCK_UN);
  }

 private:
  DirectoryLock(OwnDescriptor* directory,
                std::unique_ptr<ClosedInChild> closed_in_child)
      : directory_(directory), closed_in_child_(std::move(closed_in_child)) {}

  OwnDescriptor* directory_;
  std::unique_ptr<ClosedInChild> closed_in_child_;
};

// What listens in the folder. Under `lock`, removes what does not.
absl::StatusOr<std::vector<RunningProgram>> Scan(const std::string& directory,
                                                 const DirectoryLock* lock) {
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) return Failed("cannot read", directory, errno);
  const absl::Cleanup close = [stream] { closedir(stream); };
  std::vector<RunningProgram> programs;
  while (const dirent* entry = readdir(stream)) {
    RunningProgram program;
    if (!ParseSocketName(entry->d_name, &program.name, &program.pid)) continue;
    program.socket = absl::StrCat(directory, "/", entry->d_name);
    INSTAR_ASSIGN_OR_RETURN(const Listener listener, Probe(program.socket));
    if (listener == Listener::kLiving) {
      programs.push_back(std::move(program));
    } else if (listener == Listener::kDead && lock != nullptr) {
      unlink(program.socket.c_str());  // if it fails, it stays for the next one
    }
  }
  return programs;
}

}  // namespace

SocketFolders SocketFolders::FromEnvironment() {
  return {Variable(kVariable), Variable("XDG_RUNTIME_DIR"),
          Variable("RUNTIME_DIRECTORY")};
}

absl::StatusOr<std::string> PrepareSocketDirectory(
    const SocketFolders& folders) {
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> candidates,
                          Candidates(folders));
  absl::Status reason;
  for (const std::string& path : candidates) {
    if (path == SystemDirectory()) {
      // Where this user may have one: if the administrator has made it, or if
      // the program was root when it came here first.
      if (mkdir(kSystemDirectory, 0700) == 0) chmod(kSystemDirectory, 01777);
      if (MakeDirectory(path).ok() && OpenDirectory(path).ok()) return path;
      continue;
    }
    absl::Status usable = MakeDirectory(path);
    if (usable.ok()) usable = OpenDirectory(path).status();
    if (usable.ok()) return path;
    reason = std::move(usable);
    if (path != FallbackDirectory()) break;
  }
  return reason;
}

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
  INSTAR_ASSIGN_OR_RETURN(OwnDescriptor directory, OpenDirectory(path));

  const std::string name =
      absl::StrCat(path, "/", SocketName(program, getpid()));
  INSTAR_ASSIGN_OR_RETURN(const sockaddr_un address, Address(name));

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
  Scan(path, &*lock).IgnoreError();
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

namespace {

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
      const absl::StatusOr<Listener> listener = Probe(path);
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
          kVariable));
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FindSocketDirectories() {
  INSTAR_ASSIGN_OR_RETURN(std::vector<std::string> candidates,
                          Candidates(SocketFolders::FromEnvironment()));
  const bool was_chosen = candidates.size() == 1;
  std::vector<std::string> directories;
  for (std::string& path : candidates) {
    const absl::Status status = OpenDirectory(path).status();
    if (absl::IsNotFound(status)) continue;
    // Anybody can make the folders in /tmp and /run/instar: no program of this
    // user would have started there, and those in the other folders are found
    // nevertheless.
    if (!status.ok() &&
        (path == FallbackDirectory() || path == SystemDirectory()) &&
        !was_chosen) {
      continue;
    }
    INSTAR_RETURN_IF_ERROR(status);
    directories.push_back(std::move(path));
  }
  return directories;
}

absl::StatusOr<std::vector<RunningProgram>> FindPrograms(
    std::vector<std::string>* hints) {
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> directories,
                          FindSocketDirectories());
  const bool was_chosen = !Variable(kVariable).empty();
  std::vector<RunningProgram> programs;
  for (const std::string& path : directories) {
    INSTAR_ASSIGN_OR_RETURN(OwnDescriptor directory, OpenDirectory(path));
    const std::optional<DirectoryLock> lock =
        DirectoryLock::Take(&directory, 0);
    INSTAR_ASSIGN_OR_RETURN(std::vector<RunningProgram> found,
                            Scan(path, lock.has_value() ? &*lock : nullptr));
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
                                    ", which is not in $", kVariable));
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
  INSTAR_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  FileDescriptor connection = NewSocket(SOCK_NONBLOCK);
  if (connection.number() < 0) return Failed("no socket for", path, errno);
  const int error = Connect(connection.number(), address);
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
