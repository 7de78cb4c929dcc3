// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Reads a file where it lies, without a copy, and survives that somebody cuts
// it off meanwhile.
//
//   const TruncationGuard guard;
//   INSTAR_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Of(descriptor));
//   Parse(file.bytes());
//   if (guard.has_hit()) return Error("was cut off while it was read");
//
// What is mapped costs address space and pages of the kernel's cache, which are
// given up when memory is short; it is no memory of the process.
//
// A page of a mapped file that is not there any more gives SIGBUS. While a
// guard exists, the thread that made it reads zeros instead, in any mapping. So
// whatever reads must be able to bear nonsense, and its result is worth nothing
// once the guard was hit. Other threads, and the program's own handler of
// SIGBUS, are not concerned.

#ifndef INSTAR_BASE_LINUX_MAPPED_FILE_H_
#define INSTAR_BASE_LINUX_MAPPED_FILE_H_

#include <signal.h>

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {

class TruncationGuard {
 public:
  TruncationGuard();
  ~TruncationGuard();
  TruncationGuard(const TruncationGuard&) = delete;
  TruncationGuard& operator=(const TruncationGuard&) = delete;

  // Whether this thread has read a page that was not there since.
  bool has_hit() const;

 private:
  int hits_before_;
  sigset_t mask_before_;
};

class MappedFile {
 public:
  // The file as long as it is now; it may be closed afterwards. What is written
  // to it, if it is to be `writable`, stays in this process.
  // Errors: FailedPrecondition if it is no file that can be mapped;
  // ResourceExhausted if there is no room.
  static absl::StatusOr<MappedFile> Of(int file, bool writable = false);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  absl::string_view bytes() const { return {data_, size_}; }

 private:
  MappedFile(char* data, std::size_t size) : data_(data), size_(size) {}

  char* data_;
  std::size_t size_;
};

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_MAPPED_FILE_H_
