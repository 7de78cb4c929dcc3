// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/temporary_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace instar {
namespace differ {

absl::StatusOr<std::unique_ptr<TemporaryFolder>> TemporaryFolder::Make() {
  std::error_code error;
  std::string path =
      std::filesystem::temp_directory_path(error) / "instar-diff-XXXXXX";
  if (!error && mkdtemp(&path[0]) == nullptr) {
    error = std::error_code(errno, std::system_category());
  }
  if (error) {
    return absl::UnknownError(absl::StrCat(
        "a temporary folder cannot be made ($TMPDIR): ", error.message()));
  }
  return std::unique_ptr<TemporaryFolder>(new TemporaryFolder(path));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace differ
}  // namespace instar
