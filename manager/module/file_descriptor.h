// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An open file that is closed with its owner.

#ifndef INSTAR_MANAGER_MODULE_FILE_DESCRIPTOR_H_
#define INSTAR_MANAGER_MODULE_FILE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace instar {
namespace manager_internal {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~FileDescriptor() {
    if (number_ >= 0) close(number_);
  }

  int number() const { return number_; }  // negative: none

  // From now on somebody else closes it.
  int Release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_FILE_DESCRIPTOR_H_
