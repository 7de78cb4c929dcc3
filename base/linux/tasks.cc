// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/tasks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/linux/own_descriptor.h"

namespace instar {

namespace {

// At least as many bytes as an entry of the list takes.
constexpr std::size_t kLongestEntry = 64;

// By the system call: opendir() allocates.
long ReadEntries(int folder, char* buffer, std::size_t size) {
  return syscall(SYS_getdents64, folder, buffer, size);
}

// Whether more are wanted.
bool VisitEntries(const char* buffer, long size,
                  absl::FunctionRef<bool(pid_t tid)> visit) {
  for (long at = 0; at < size;) {
    const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
    at += entry->d_reclen;
    const auto tid =
        static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (tid != 0 && !visit(tid)) return false;
  }
  return true;
}

// A file of /proc that is open for some microseconds, under the number that
// open(2) gave it.
class BriefFile {
 public:
  BriefFile(const char* path, int flags)
      : number_(open(path, flags | O_RDONLY | O_CLOEXEC)) {
    if (number_ < 0) return;
    struct statfs system = {};
    if (fstatfs(number_, &system) == 0 && system.f_type == PROC_SUPER_MAGIC &&
        fstat(number_, &ours_) == 0) {
      return;
    }
    number_ = -1;  // somebody else's by now
    errno = EBADF;
  }

  int number() const { return number_; }
  // False, with errno set, if the number is that of another file by now, which
  // stays open. Keeps errno otherwise.
  bool Close() {
    const int error = errno;
    struct stat now = {};
    if (fstat(number_, &now) != 0 || now.st_dev != ours_.st_dev ||
        now.st_ino != ours_.st_ino) {
      errno = EBADF;
      return false;
    }
    close(number_);
    errno = error;
    return true;
  }

 private:
  int number_;
  struct stat ours_ = {};
};

// What follows `label`, or null.
const char* FindField(const char* text, const char* label) {
  const char* const found = std::strstr(text, label);
  return found == nullptr ? nullptr : found + std::strlen(label);
}

}  // namespace

bool VisitTasks(absl::FunctionRef<bool(pid_t tid)> visit) {
  alignas(dirent64) char buffer[4096];
  alignas(dirent64) char behind[kLongestEntry];
  BriefFile folder("/proc/self/task", O_DIRECTORY);
  if (folder.number() < 0) return false;
  long size = ReadEntries(folder.number(), buffer, sizeof(buffer));
  const bool may_be_all =
      size > 0 && size <= static_cast<long>(sizeof(buffer) - kLongestEntry);
  const long more =
      may_be_all ? ReadEntries(folder.number(), behind, sizeof(behind)) : size;
  if (more <= 0) {
    if (!folder.Close() || more < 0) return false;
    VisitEntries(buffer, size, visit);
    return true;
  }
  // For as long as `visit` takes, a program may close it.
  OwnDescriptor kept(folder.number());
  bool goes_on = VisitEntries(buffer, size, visit) &&
                 (!may_be_all || VisitEntries(behind, more, visit));
  while (goes_on &&
         (size = ReadEntries(kept.number(), buffer, sizeof(buffer))) > 0) {
    goes_on = VisitEntries(buffer, size, visit);
  }
  kept.Close();  // keeps errno
  return size >= 0;
}

bool ReadTaskFile(pid_t tid, const char* name, char* text, std::size_t size) {
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
  BriefFile file(path, 0);
  if (file.number() < 0) return false;
  std::size_t filled = 0;
  ssize_t got = 0;
  while (filled < size - 1 &&
         (got = pread(file.number(), text + filled, size - 1 - filled,
                      static_cast<off_t>(filled))) > 0) {
    filled += static_cast<std::size_t>(got);
    // The kernel makes the whole text at once: this is its end.
    if (filled < size - 1 && text[filled - 1] == '\n') break;
  }
  text[filled] = '\0';
  return file.Close() && got >= 0;
}

bool HasTaskEnded(pid_t tid) {
  char text[512];
  if (!ReadTaskFile(tid, "stat", text, sizeof(text))) {
    return syscall(SYS_tgkill, getpid(), tid, 0) != 0 && errno == ESRCH;
  }
  const char* const name_end = std::strrchr(text, ')');
  return name_end != nullptr && name_end[1] != '\0' &&
         (name_end[2] == 'Z' || name_end[2] == 'X');
}

std::optional<TaskStatus> StatusOfTask(pid_t tid) {
  char text[8192];
  if (!ReadTaskFile(tid, "status", text, sizeof(text))) return std::nullopt;
  const char* const blocked = FindField(text, "\nSigBlk:\t");
  if (blocked == nullptr) return std::nullopt;
  TaskStatus status;
  status.blocked = std::strtoull(blocked, nullptr, 16);
  const char* const mode = FindField(text, "\nSeccomp:\t");
  if (mode == nullptr) return status;
  if (*mode == '1') status.filters = TaskStatus::kStrict;
  if (*mode == '2') {
    const char* const filters = FindField(text, "\nSeccomp_filters:\t");
    status.filters =
        filters == nullptr
            ? 1
            : std::max(1, static_cast<int>(std::strtol(filters, nullptr, 10)));
  }
  return status;
}

std::optional<std::uint64_t> SignalsBlockedBy(pid_t tid) {
  const std::optional<TaskStatus> status = StatusOfTask(tid);
  if (!status.has_value()) return std::nullopt;
  return status->blocked;
}

std::uint64_t SignalsAwaitedBy(pid_t tid) {
  // "NUMBER FIRST_ARGUMENT ... SP PC" of a thread that waits in a system call.
  char text[256];
  if (!ReadTaskFile(tid, "syscall", text, sizeof(text))) return 0;
  char* end = nullptr;
  const long number = std::strtol(text, &end, 10);
  if (end == text || number != SYS_rt_sigtimedwait) return 0;
  const std::uint64_t set = std::strtoull(end, nullptr, 16);
  // The memory may be gone by now.
  std::uint64_t signals = 0;
  const iovec local = {&signals, sizeof(signals)};
  const iovec remote = {reinterpret_cast<void*>(set), sizeof(signals)};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) ==
                 static_cast<ssize_t>(sizeof(signals))
             ? signals
             : ~std::uint64_t{0};
}

}  // namespace instar
