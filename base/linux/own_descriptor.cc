// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/own_descriptor.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace instar {
namespace {

// Above what select(2) users and servers of some hundred connections reach,
// below the usual limit of 1,024.
constexpr rlim_t kFirstNumber = 900;
// How many numbers below a lower limit are tried.
constexpr rlim_t kBelowLimit = 24;

// The signals that a mark may be: the last of the real-time ones. Two files
// that are kept at the same time have different ones, or nearly so.
constexpr unsigned kFirstMark = 40;
constexpr unsigned kMarks = 25;
unsigned g_marks = 0;  // atomic: how many have been given

int NextMark() {
  return static_cast<int>(
      kFirstMark + __atomic_fetch_add(&g_marks, 1, __ATOMIC_RELAXED) % kMarks);
}

// The same open file under a number that no program comes to soon, or
// `descriptor` itself if there is none.
int MovedUp(int descriptor) {
  rlimit limit;
  rlim_t from = kFirstNumber;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
      limit.rlim_cur != RLIM_INFINITY &&
      limit.rlim_cur < kFirstNumber + kBelowLimit) {
    from = limit.rlim_cur > kBelowLimit ? limit.rlim_cur - kBelowLimit : 0;
  }
  if (static_cast<rlim_t>(descriptor) >= from) return descriptor;
  const int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, static_cast<int>(from));
  if (moved < 0) return descriptor;
  close(descriptor);
  return moved;
}

}  // namespace

OwnDescriptor::OwnDescriptor(int descriptor) {
  if (descriptor < 0) return;
  const int saved_errno = errno;
  number_ = MovedUp(descriptor);
  fcntl(number_, F_SETFD, FD_CLOEXEC);
  // Where that is refused the other properties have to do.
  fcntl(number_, F_SETSIG, NextMark());
  Identify(number_, identity_);
  errno = saved_errno;
}

OwnDescriptor::OwnDescriptor(OwnDescriptor&& other) noexcept
    : number_(std::exchange(other.number_, -1)), identity_(other.identity_) {}

OwnDescriptor& OwnDescriptor::operator=(OwnDescriptor&& other) noexcept {
  std::swap(number_, other.number_);
  std::swap(identity_, other.identity_);
  return *this;
}

bool OwnDescriptor::Identify(int descriptor, Identity& identity) {
  struct stat file;
  if (fstat(descriptor, &file) != 0) return false;
  identity.device = file.st_dev;
  identity.inode = file.st_ino;
  identity.kind = file.st_mode & S_IFMT;
  identity.special = file.st_rdev;
  identity.mark = fcntl(descriptor, F_GETSIG);
  return true;
}

int OwnDescriptor::number() const {
  Identity now;
  if (number_ >= 0 && Identify(number_, now) && now == identity_) {
    return number_;
  }
  errno = EBADF;
  return -1;
}

int OwnDescriptor::NumberOrOpen(absl::FunctionRef<int()> open) {
  if (const int ours = number(); ours >= 0) return ours;
  OwnDescriptor opened(open());
  if (opened.number_ < 0) return -1;
  number_ = std::exchange(opened.number_, -1);
  identity_ = opened.identity_;
  return number_;
}

void OwnDescriptor::Close() {
  const int saved_errno = errno;
  if (const int ours = number(); ours >= 0) close(ours);
  number_ = -1;
  errno = saved_errno;
}

int OwnDescriptor::Release() {
  const int ours = number();
  number_ = -1;
  return ours;
}

}  // namespace instar
