// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A file in memory, to be read. It stays mapped as long as this lives; nobody
// may write or truncate the file meanwhile.

#ifndef INSTAR_TOOLS_DIFFER_FILES_MAPPED_FILE_H_
#define INSTAR_TOOLS_DIFFER_FILES_MAPPED_FILE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {
namespace differ {

class MappedFile {
 public:
  // Errors, which name it: NotFound, PermissionDenied for one that cannot be
  // read; InvalidArgument for what is no file.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Read(
      const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Empty for a file without contents.
  absl::string_view bytes() const {
    return {static_cast<const char*>(start_), size_};
  }

 private:
  MappedFile(void* start, std::size_t size) : start_(start), size_(size) {}

  void* start_;
  std::size_t size_;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_MAPPED_FILE_H_
