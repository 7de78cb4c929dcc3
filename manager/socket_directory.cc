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

#include "manager/socket_directory.h"

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
#include <optional>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace instar {
namespace {

using manager_internal::FileDescriptor;
using manager_internal::ParseSocketName;

constexpr char kVariable[] = "INSTAR_SOCKET_DIRECTORY";
constexpr char kSuffix[] = ".sock";
constexpr int kBacklog = 64;  // connections that wait to be accepted

std::string FallbackDirectory() {
  return absl::StrCat("/tmp/instar-", geteuid());
}

const char* Variable(const char* name) {
  const char* value = getenv(name);
  return value != nullptr && value[0] != '\0' ? value : nullptr;
}

// Where a program may be, the folder for this process's own socket first.
absl::StatusOr<std::vector<std::string>> Candidates() {
  if (const char* chosen = Variable(kVariable)) {
    if (chosen[0] != '/') {
      return absl::InvalidArgumentError(absl::StrCat(
          "$", kVariable, " is \"", chosen, "\"; it must be an absolute path"));
    }
    return std::vector<std::string>{chosen};
  }
  std::vector<std::string> directories;
  // One that is relative is to be ignored, as its specification has it. In one
  // of another user, root would make a folder that keeps that user out.
  const char* runtime = Variable("XDG_RUNTIME_DIR");
  struct stat status;
  if (runtime != nullptr && runtime[0] == '/' && stat(runtime, &status) == 0 &&
      status.st_uid == geteuid()) {
    directories.push_back(absl::StrCat(runtime, "/instar"));
  }
  directories.push_back(FallbackDirectory());
  return directories;
}

absl::Status Failed(absl::string_view what, const std::string& path,
                    int error) {
  return absl::InternalError(
      absl::StrCat(what, " ", path, ": ", std::strerror(error)));
}

// Opens the folder and checks that nobody else can reach what is in it.
// NotFound if it is not there.
absl::StatusOr<FileDescriptor> OpenDirectory(const std::string& path) {
  const std::string other =
      absl::StrCat("; or name another folder by $", kVariable);
  FileDescriptor directory(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (directory.number() < 0) {
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
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the folder for control sockets, ", path, ", cannot be made: ",
      std::strerror(errno), "; make it, or name another one by $", kVariable));
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

// The exclusive lock of an open folder.
class DirectoryLock {
 public:
  // Nothing, if others hold it for the whole time.
  static std::optional<DirectoryLock> Take(int directory,
                                           int patience_in_steps) {
    constexpr timespec kStep = {0, 10'000'000};  // 10 ms
    while (flock(directory, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (patience_in_steps-- <= 0) return std::nullopt;
      nanosleep(&kStep, nullptr);
    }
    return DirectoryLock(directory);
  }

  DirectoryLock(DirectoryLock&& other) noexcept
      : directory_(std::exchange(other.directory_, -1)) {}
  // Not left to close(): a child that was forked meanwhile has a descriptor of
  // the same lock.
  ~DirectoryLock() {
    if (directory_ >= 0) flock(directory_, LOCK_UN);
  }

 private:
  explicit DirectoryLock(int directory) : directory_(directory) {}

  int directory_;
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
    if (!ParseSocketName(entry->d_name, &program)) continue;
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

namespace manager_internal {

bool ParseSocketName(absl::string_view file_name, RunningProgram* program) {
  if (!absl::ConsumeSuffix(&file_name, kSuffix)) return false;
  const std::size_t dot = file_name.rfind('.');
  if (dot == absl::string_view::npos || dot == 0) return false;
  const absl::string_view digits = file_name.substr(dot + 1);
  if (digits.empty() ||
      digits.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(digits, &program->pid) || program->pid <= 0) {
    return false;
  }
  program->name = std::string(file_name.substr(0, dot));
  return true;
}

}  // namespace manager_internal

absl::StatusOr<std::string> PrepareSocketDirectory() {
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> candidates,
                          Candidates());
  INSTAR_RETURN_IF_ERROR(MakeDirectory(candidates.front()));
  INSTAR_RETURN_IF_ERROR(OpenDirectory(candidates.front()).status());
  return candidates.front();
}

absl::StatusOr<ProgramSocket> ProgramSocket::Listen(
    const std::string& program) {
  if (program.empty() || program[0] == '.' ||
      program.find('/') != std::string::npos ||
      program.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", program, "\" cannot name a program: a name is part of a file ",
        "name, and does not begin with a dot"));
  }
  INSTAR_ASSIGN_OR_RETURN(const std::string path, PrepareSocketDirectory());
  INSTAR_ASSIGN_OR_RETURN(const FileDescriptor directory, OpenDirectory(path));

  const std::string name =
      absl::StrCat(path, "/", program, ".", getpid(), kSuffix);
  INSTAR_ASSIGN_OR_RETURN(const sockaddr_un address, Address(name));

  constexpr int kTwoSeconds = 200;
  const std::optional<DirectoryLock> lock =
      DirectoryLock::Take(directory.number(), kTwoSeconds);
  if (!lock.has_value()) {
    return absl::UnavailableError(absl::StrCat(
        "another process keeps ", path, " locked (is it stopped? `fuser ", path,
        "` names it); end it and try again"));
  }
  // A stale socket among those of others is not this program's concern: an
  // error is of no importance.
  Scan(path, &*lock).IgnoreError();
  ProgramSocket result;  // after the lock: an early end removes its name first
  result.socket_ = NewSocket(SOCK_NONBLOCK);
  const int socket = result.descriptor();
  if (socket < 0) return Failed("no socket for", name, errno);
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
      owner_(other.owner_) {}

ProgramSocket& ProgramSocket::operator=(ProgramSocket&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(path_, other.path_);
  std::swap(owner_, other.owner_);
  return *this;
}

// The name goes first, while the socket still listens: nobody else removes it,
// or takes it, before.
ProgramSocket::~ProgramSocket() {
  if (!path_.empty() && owner_ == getpid()) unlink(path_.c_str());
}

absl::StatusOr<std::vector<RunningProgram>> FindPrograms() {
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> candidates,
                          Candidates());
  std::vector<RunningProgram> programs;
  for (const std::string& path : candidates) {
    const absl::StatusOr<FileDescriptor> directory = OpenDirectory(path);
    if (absl::IsNotFound(directory.status())) continue;
    // Anybody can make the folder in /tmp: no program of this user would have
    // started there, and those in the other folder are found nevertheless.
    if (!directory.ok() && &path != &candidates.front()) continue;
    INSTAR_RETURN_IF_ERROR(directory.status());
    const std::optional<DirectoryLock> lock =
        DirectoryLock::Take(directory->number(), 0);
    INSTAR_ASSIGN_OR_RETURN(std::vector<RunningProgram> found,
                            Scan(path, lock.has_value() ? &*lock : nullptr));
    programs.insert(programs.end(), std::make_move_iterator(found.begin()),
                    std::make_move_iterator(found.end()));
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
