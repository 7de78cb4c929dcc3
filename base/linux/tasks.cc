// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/tasks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/linux/own_descriptor.h"

namespace instar {

bool VisitTasks(absl::FunctionRef<bool(pid_t tid)> visit) {
  // For as long as `visit` takes, a program may close it.
  OwnDescriptor kept(
      open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const int folder = kept.number();
  if (folder < 0) return false;
  // By the system call: opendir() allocates.
  alignas(dirent64) char buffer[4096];
  bool more = true;
  long size = 0;
  while (more &&
         (size = syscall(SYS_getdents64, folder, buffer, sizeof(buffer))) > 0) {
    for (long at = 0; more && at < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      const auto tid =
          static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
      if (tid != 0) more = visit(tid);
    }
  }
  kept.Close();  // keeps errno
  return size >= 0;
}

bool ReadTaskFile(pid_t tid, const char* name, char* text, std::size_t size) {
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  // However short: a program that closes what it does not know, by
  // closefrom(3) say, may get the number for a file of its own. That is not
  // closed here, and pread() takes nothing from it.
  struct statfs system = {};
  struct stat ours = {}, now = {};
  if (fstatfs(file, &system) != 0 || system.f_type != PROC_SUPER_MAGIC ||
      fstat(file, &ours) != 0) {
    errno = EBADF;
    return false;
  }
  std::size_t filled = 0;
  ssize_t got = 0;
  while (filled < size - 1 &&
         (got = pread(file, text + filled, size - 1 - filled,
                      static_cast<off_t>(filled))) > 0) {
    filled += static_cast<std::size_t>(got);
  }
  int error = errno;
  if (fstat(file, &now) == 0 && now.st_dev == ours.st_dev &&
      now.st_ino == ours.st_ino) {
    close(file);
  } else {
    got = -1;
    error = EBADF;
  }
  errno = error;
  text[filled] = '\0';
  return got >= 0;
}

std::optional<std::uint64_t> SignalsBlockedBy(pid_t tid) {
  char status[4096];
  if (!ReadTaskFile(tid, "status", status, sizeof(status))) return std::nullopt;
  constexpr char kField[] = "\nSigBlk:";
  const char* const field = std::strstr(status, kField);
  if (field == nullptr) return std::nullopt;
  return std::strtoull(field + std::strlen(kField), nullptr, 16);
}

}  // namespace instar
