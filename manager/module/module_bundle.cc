// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/module_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "manager/module/bundle.h"
#include "manager/module/file_descriptor.h"
#include "manager/module/module_file.h"

namespace instar {
namespace {

using manager_internal::FileDescriptor;

absl::StatusOr<std::string> ContentsOf(const ModuleFile& module) {
  const int file = module.shared_file()->number();
  struct stat status;
  if (fstat(file, &status) != 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("cannot look at ", module.path()));
  }
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t length = pread(file, &bytes[done], bytes.size() - done,
                                 static_cast<off_t>(done));
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) {
      return absl::InternalError(
          absl::StrCat(module.path(), " changed while it was read"));
    }
    done += static_cast<std::size_t>(length);
  }
  return bytes;
}

}  // namespace

absl::Status WriteBundle(const std::string& path,
                         const std::vector<std::string>& modules) {
  std::vector<ModuleFile> all;
  for (const std::string& each : modules) {
    INSTAR_ASSIGN_OR_RETURN(std::vector<ModuleFile> read, ReadAllModules(each));
    for (ModuleFile& module : read) all.push_back(std::move(module));
  }
  INSTAR_RETURN_IF_ERROR(manager_internal::CheckBundled(all));
  std::string bytes = manager_internal::kBundleBegin;
  for (const ModuleFile& module : all) {
    INSTAR_ASSIGN_OR_RETURN(const std::string contents, ContentsOf(module));
    bytes += manager_internal::BundleMember(
        absl::StrCat(module.program_build_id().substr(0, 12), ".so"), contents);
  }
  const std::string unnamed = absl::StrCat(path, ".new");
  const auto failed = [&] {
    const int error = errno;
    unlink(unnamed.c_str());
    return absl::ErrnoToStatus(error, absl::StrCat("cannot write ", path));
  };
  const FileDescriptor file(
      open(unnamed.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.number() < 0) return failed();
  for (absl::string_view left = bytes; !left.empty();) {
    const ssize_t length = write(file.number(), left.data(), left.size());
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return failed();
    left.remove_prefix(static_cast<std::size_t>(length));
  }
  if (rename(unnamed.c_str(), path.c_str()) != 0) return failed();
  return absl::OkStatus();
}

}  // namespace instar
