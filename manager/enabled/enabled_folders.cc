// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/enabled/enabled_folders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace instar {
namespace {

constexpr char kVariable[] = "INSTAR_STATE_DIRECTORY";
constexpr char kSystemFolder[] = "/var/lib/instar";

// Empty if it is not set, or is no absolute path.
std::string PathIn(const char* name) {
  const char* const value = secure_getenv(name);
  return value == nullptr || value[0] != '/' ? "" : value;
}

}  // namespace

EnabledFolders EnabledFolders::FromEnvironment() {
  EnabledFolders folders;
  folders.own = PathIn(kVariable);
  if (!folders.own.empty()) return folders;
  if (geteuid() == 0) {
    folders.own = kSystemFolder;
    return folders;
  }
  folders.system = kSystemFolder;
  if (const std::string state = PathIn("XDG_STATE_HOME"); !state.empty()) {
    folders.own = absl::StrCat(state, "/instar");
  } else if (const std::string home = PathIn("HOME"); !home.empty()) {
    folders.own = absl::StrCat(home, "/.local/state/instar");
  }
  return folders;
}

std::vector<std::string> EnabledFolders::All() const {
  std::vector<std::string> all;
  if (!system.empty()) all.push_back(system);
  if (!own.empty()) all.push_back(own);
  return all;
}

bool IsPrivilegedStart() { return getauxval(AT_SECURE) != 0; }

namespace manager_internal {
namespace {

absl::Status CannotOpen(const std::string& path, int error) {
  const std::string message =
      absl::StrCat(path, " cannot be opened: ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(absl::StrCat(path, " is not there"));
    case ENOTDIR:
    case ELOOP:
      return absl::FailedPreconditionError(
          absl::StrCat(path,
                       " is of another kind, or a symbolic link; remove "
                       "it, and enable the updates anew"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(
          message, "; this is user ", geteuid(), ", who must be able to"));
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<FileDescriptor> OpenTrusted(const std::string& path, int flags,
                                           mode_t kind) {
  FileDescriptor file(
      open(path.c_str(), flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (file.number() < 0) return CannotOpen(path, errno);
  struct stat status;
  if (fstat(file.number(), &status) != 0) {
    return absl::InternalError(
        absl::StrCat(path, " cannot be looked at: ", std::strerror(errno)));
  }
  if ((status.st_mode & S_IFMT) != kind) return CannotOpen(path, ELOOP);
  const uid_t user = geteuid();
  if (status.st_uid != user && status.st_uid != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, " belongs to user ", status.st_uid, ", and this is user ", user,
        ": whoever owns it could run code in the program; it must belong to "
        "user ",
        user, " or to root"));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        path,
        " can be written by others than its owner, who could run code "
        "in the program; chmod go-w ",
        path));
  }
  return file;
}

}  // namespace

unsigned TrustedFileMode() { return geteuid() == 0 ? 0644 : 0600; }

absl::StatusOr<FileDescriptor> OpenTrustedFolder(const std::string& path) {
  return OpenTrusted(path, O_DIRECTORY, S_IFDIR);
}

absl::StatusOr<FileDescriptor> OpenTrustedFile(const std::string& path) {
  // A pipe or a device must not make us wait.
  return OpenTrusted(path, O_NONBLOCK | O_NOCTTY, S_IFREG);
}

absl::StatusOr<FileDescriptor> MakeTrustedFolder(const std::string& path) {
  for (std::size_t end = 1; end != std::string::npos;) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), 0700) == 0) {
      // Whatever the umask is.
      if (chmod(part.c_str(), geteuid() == 0 ? 0755 : 0700) == 0) continue;
    } else if (errno == EEXIST) {
      continue;
    }
    return absl::PermissionDeniedError(
        absl::StrCat(part, " cannot be made: ", std::strerror(errno),
                     "; make it, or name another folder by $", kVariable));
  }
  return OpenTrustedFolder(path);
}

}  // namespace manager_internal
}  // namespace instar
