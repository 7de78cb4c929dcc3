// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace instar {
namespace differ {

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Read(
    const std::string& path) {
  // Nobody may ever write into a FIFO.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, " cannot be opened"));
  }
  absl::Cleanup close_file = [file] { close(file); };
  struct stat status;
  if (fstat(file, &status) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, " cannot be read"));
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no file"));
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* start = nullptr;
  if (size != 0) {
    start = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (start == MAP_FAILED) {
      return absl::ErrnoToStatus(errno,
                                 absl::StrCat(path, " cannot be mapped"));
    }
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(start, size));
}

MappedFile::~MappedFile() {
  if (start_ != nullptr) munmap(start_, size_);
}

}  // namespace differ
}  // namespace instar
