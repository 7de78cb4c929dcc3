// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A mark gets its name when it is locked and written: nobody comes upon one
// that is neither, and takes it for one of a process that has ended.

#include "manager/enabled/start_mark.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/status_macros.h"

namespace instar {
namespace {

using manager_internal::FileDescriptor;
using manager_internal::MakeTrustedFolder;
using manager_internal::OpenTrustedFile;
using manager_internal::OpenTrustedFolder;

constexpr char kMarkSuffix[] = ".left_out";
constexpr std::size_t kLongestReason = 4096;  // bytes

// Those of one update as it was enabled; the rest of the name tells them apart.
std::string MarkPrefix(const EnabledUpdate& update) {
  return absl::StrCat(update.program, ".", update.id, ".");
}

std::string FolderOf(const EnabledUpdate& update) {
  return update.path.substr(0, update.path.rfind('/'));
}

// Where its marks may be, the best one first.
std::vector<std::string> MarkFolders(const EnabledFolders& folders,
                                     const EnabledUpdate& update) {
  std::vector<std::string> result = {FolderOf(update)};
  const std::string own = absl::StrCat(folders.own, "/", update.program);
  if (!folders.own.empty() && own != result.front()) result.push_back(own);
  if (!folders.marks.empty()) result.push_back(folders.marks);
  return result;
}

std::string Now() {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::Now(),
                          absl::LocalTimeZone());
}

struct flock WholeFile() {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

struct Written {
  std::string path;
  FileDescriptor file;
};

absl::StatusOr<Written> WriteInto(const std::string& folder,
                                  const EnabledUpdate& update,
                                  absl::string_view reason, bool keeps_lock) {
  static std::atomic<unsigned> serial{0};  // of this process's marks
  Written mark;
  mark.path =
      absl::StrCat(folder, "/", MarkPrefix(update), getpid(), "-",
                   serial.fetch_add(1, std::memory_order_relaxed), kMarkSuffix);
  const std::string unnamed = absl::StrCat(mark.path, ".new");
  const auto failed = [&] {
    const int error = errno;
    unlink(unnamed.c_str());
    return absl::ErrnoToStatus(error, absl::StrCat("cannot write ", mark.path));
  };
  // One of a process that had this number, and ended just here.
  unlink(unnamed.c_str());
  mark.file = FileDescriptor(open(unnamed.c_str(),
                                  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                                  manager_internal::TrustedFileMode()));
  if (mark.file.number() < 0) return failed();
  if (fchmod(mark.file.number(), manager_internal::TrustedFileMode()) != 0 ||
      write(mark.file.number(), reason.data(), reason.size()) !=
          static_cast<ssize_t>(reason.size())) {
    return failed();
  }
  struct flock lock = WholeFile();
  if (keeps_lock && fcntl(mark.file.number(), F_SETLK, &lock) != 0) {
    return failed();
  }
  if (rename(unnamed.c_str(), mark.path.c_str()) != 0) return failed();
  return mark;
}

absl::StatusOr<Written> WriteMark(const EnabledFolders& folders,
                                  const EnabledUpdate& update,
                                  absl::string_view reason, bool keeps_lock) {
  absl::Status error = absl::InternalError("there is no folder for marks");
  for (const std::string& folder : MarkFolders(folders, update)) {
    // Root's is made by enabling something; this user's may be missing.
    const absl::StatusOr<FileDescriptor> opened = MakeTrustedFolder(folder);
    absl::StatusOr<Written> mark =
        opened.ok() ? WriteInto(folder, update, reason, keeps_lock)
                    : opened.status();
    if (mark.ok()) return mark;
    error = mark.status();
  }
  return error;
}

// What a mark says; empty if it is none any more, or that of a living process.
std::string Read(const std::string& path) {
  const absl::StatusOr<FileDescriptor> file = OpenTrustedFile(path);
  if (!file.ok()) return "";
  struct flock lock = WholeFile();
  if (fcntl(file->number(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
    return "";
  }
  std::string reason(kLongestReason, '\0');
  const ssize_t length = read(file->number(), &reason[0], reason.size());
  reason.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
  return reason.empty() ? "there is a mark that does not say why" : reason;
}

}  // namespace

absl::StatusOr<StartMark> StartMark::Set(const EnabledFolders& folders,
                                         const EnabledUpdate& update) {
  INSTAR_ASSIGN_OR_RETURN(
      Written mark,
      WriteMark(
          folders, update,
          absl::StrCat("process ", getpid(),
                       " ended while it was applied at its start, at ", Now()),
          /*keeps_lock=*/true));
  return StartMark(std::move(mark.path), std::move(mark.file));
}

void StartMark::Remove() {
  if (path_.empty()) return;
  unlink(path_.c_str());
  path_.clear();
  file_ = FileDescriptor();
}

std::string WhyLeftOut(const EnabledFolders& folders,
                       const EnabledUpdate& update) {
  const std::string prefix = MarkPrefix(update);
  for (const std::string& folder : MarkFolders(folders, update)) {
    absl::StatusOr<FileDescriptor> opened = OpenTrustedFolder(folder);
    if (!opened.ok()) continue;
    const std::unique_ptr<DIR, int (*)(DIR*)> all(fdopendir(opened->number()),
                                                  &closedir);
    if (all == nullptr) continue;
    static_cast<void>(opened->Release());
    while (const dirent* const entry = readdir(all.get())) {
      if (!absl::StartsWith(entry->d_name, prefix) ||
          !absl::EndsWith(entry->d_name, kMarkSuffix)) {
        continue;
      }
      std::string why = Read(absl::StrCat(folder, "/", entry->d_name));
      if (!why.empty()) return why;
    }
  }
  return "";
}

absl::StatusOr<int> LeaveOut(const EnabledFolders& folders,
                             const std::string& program,
                             const std::string& update,
                             const std::string& why) {
  int count = 0;
  for (const std::string& folder : folders.All()) {
    INSTAR_ASSIGN_OR_RETURN(const std::vector<EnabledUpdate> all,
                            EnabledStore(folder, program).List());
    for (const EnabledUpdate& enabled : all) {
      if (enabled.update != update) continue;
      INSTAR_RETURN_IF_ERROR(
          WriteMark(folders, enabled,
                    absl::string_view(why).substr(0, kLongestReason),
                    /*keeps_lock=*/false)
              .status());
      ++count;
    }
  }
  return count;
}

}  // namespace instar
