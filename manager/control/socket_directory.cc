// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/socket_directory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "manager/control/internal/socket_files.h"

namespace instar {
namespace {

using manager_internal::OpenSocketDirectory;

constexpr char kSystemDirectory[] = "/run/instar";

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
          absl::StrCat("$", kSocketDirectoryVariable, " is \"", folders.chosen,
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

absl::Status MakeDirectory(const std::string& path) {
  const bool is_there = mkdir(path.c_str(), 0700) == 0 || errno == EEXIST;
  if (is_there && (access(path.c_str(), W_OK) == 0 || errno != EROFS)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the folder for control sockets, ", path,
                   is_there ? ", cannot be written: " : ", cannot be made: ",
                   std::strerror(errno), "; make it, or name another one by $",
                   kSocketDirectoryVariable,
                   "; in the unit file of a service: RuntimeDirectory=NAME"));
}

}  // namespace

SocketFolders SocketFolders::FromEnvironment() {
  return {Variable(kSocketDirectoryVariable), Variable("XDG_RUNTIME_DIR"),
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
      if (MakeDirectory(path).ok() && OpenSocketDirectory(path).ok())
        return path;
      continue;
    }
    absl::Status usable = MakeDirectory(path);
    if (usable.ok()) usable = OpenSocketDirectory(path).status();
    if (usable.ok()) return path;
    reason = std::move(usable);
    if (path != FallbackDirectory()) break;
  }
  return reason;
}

absl::StatusOr<std::vector<std::string>> FindSocketDirectories() {
  INSTAR_ASSIGN_OR_RETURN(std::vector<std::string> candidates,
                          Candidates(SocketFolders::FromEnvironment()));
  const bool was_chosen = candidates.size() == 1;
  std::vector<std::string> directories;
  for (std::string& path : candidates) {
    const absl::Status status = OpenSocketDirectory(path).status();
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

}  // namespace instar
