// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/kept_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace manager_internal {
namespace {

constexpr time_t kLongestLeft = 7 * 24 * 3600;  // s
constexpr char kEnd[] = ".so";

// Those of this process. Never destroyed: modules are unloaded at any time.
struct Files {
  std::mutex mutex;
  std::set<std::string> paths;
  pid_t owner = getpid();  // a child of fork() has a copy
};

Files& TheFiles() {
  static Files& files = *[] {
    std::atexit([] {
      Files& all = TheFiles();
      if (all.owner != getpid()) return;
      // Whoever has the lock is about to remove its own.
      std::unique_lock<std::mutex> lock(all.mutex, std::try_to_lock);
      if (!lock.owns_lock()) return;
      for (const std::string& path : all.paths) unlink(path.c_str());
    });
    return new Files;
  }();
  return files;
}

absl::Status Error(const std::string& path, const char* what) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, " cannot be ", what, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<KeptFile> KeptFile::Make(
    const std::string& path, absl::FunctionRef<absl::Status(int file)> fill) {
  unlink(path.c_str());
  const FileDescriptor file(open(
      path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.number() < 0) return Error(path, "made");
  KeptFile result;
  result.path_ = path;
  Files& files = TheFiles();
  {
    std::lock_guard<std::mutex> lock(files.mutex);
    files.paths.insert(path);
  }
  struct statvfs system;
  result.is_executable_ =
      fstatvfs(file.number(), &system) == 0 && (system.f_flag & ST_NOEXEC) == 0;
  const absl::Status filled = fill(file.number());
  if (!filled.ok()) return filled;  // and removes it
  return result;
}

KeptFile::KeptFile(KeptFile&& other) noexcept
    : path_(std::exchange(other.path_, "")),
      is_executable_(other.is_executable_) {}

KeptFile& KeptFile::operator=(KeptFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(is_executable_, other.is_executable_);
  return *this;
}

void KeptFile::Remove() {
  if (path_.empty()) return;
  Files& files = TheFiles();
  if (files.owner == getpid()) {
    unlink(path_.c_str());
    std::lock_guard<std::mutex> lock(files.mutex);
    files.paths.erase(path_);
  }
  path_.clear();
}

std::string KeptFilePrefix(const std::string& folder,
                           const std::string& program, pid_t process) {
  return absl::StrCat(folder, "/", program, ".", process, ".");
}

void RemoveLeftFiles(const std::string& folder) {
  DIR* const listing = opendir(folder.c_str());
  if (listing == nullptr) return;
  while (const dirent* const entry = readdir(listing)) {
    // PROGRAM.PID.NAME.0123456789abcdef.so
    absl::string_view name = entry->d_name;
    if (!absl::EndsWith(name, kEnd)) continue;
    for (std::size_t dot = name.find('.'); dot != absl::string_view::npos;
         dot = name.find('.', dot + 1)) {
      const absl::string_view rest = name.substr(dot + 1);
      int process = 0;
      if (!absl::SimpleAtoi(rest.substr(0, rest.find('.')), &process) ||
          process <= 0) {
        continue;
      }
      struct stat file;
      if (kill(process, 0) != 0 && errno == ESRCH &&
          fstatat(dirfd(listing), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) ==
              0 &&
          S_ISREG(file.st_mode) &&
          file.st_mtime + kLongestLeft < time(nullptr)) {
        unlinkat(dirfd(listing), entry->d_name, 0);
      }
      break;
    }
  }
  closedir(listing);
}

}  // namespace manager_internal
}  // namespace instar
