// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/temporary_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"

namespace instar {
namespace differ {

absl::StatusOr<std::unique_ptr<TemporaryFolder>> TemporaryFolder::Make() {
  std::error_code error;
  std::string path =
      std::filesystem::temp_directory_path(error) / "instar-diff-XXXXXX";
  if (error || mkdtemp(&path[0]) == nullptr) {
    return absl::ErrnoToStatus(errno, "a temporary folder cannot be made");
  }
  return std::unique_ptr<TemporaryFolder>(new TemporaryFolder(path));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace differ
}  // namespace instar
