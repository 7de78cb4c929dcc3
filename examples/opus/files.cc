// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/opus/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace file_server {

std::string root;

absl::StatusOr<std::string> ReadFile(const std::string& target) {
  const std::string path = WithoutQuery(target);
  if (GoesUp(path)) return absl::PermissionDeniedError(path);
  return Contents(Decode(path));  // too late: "%2e%2e" is ".." only now
}

std::string WithoutQuery(absl::string_view target) {
  return std::string(target.substr(0, target.find('?')));
}

std::string Decode(absl::string_view path) {
  std::string decoded;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' && i + 2 < path.size() &&
        absl::ascii_isxdigit(path[i + 1]) &&
        absl::ascii_isxdigit(path[i + 2])) {
      const std::string digits(path.substr(i + 1, 2));
      decoded += static_cast<char>(std::strtol(digits.c_str(), nullptr, 16));
      i += 2;
    } else {
      decoded += path[i];
    }
  }
  return decoded;
}

bool GoesUp(absl::string_view path) {
  for (const absl::string_view name : absl::StrSplit(path, '/')) {
    if (name == "..") return true;
  }
  return false;
}

absl::StatusOr<std::string> Contents(const std::string& path) {
  std::string file = root + "/" + path;
  struct stat about;
  if (stat(file.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) {
    file += "/index.html";
  }
  int descriptor;
  do {
    descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) {
    return errno == EACCES ? absl::PermissionDeniedError(path)
                           : absl::NotFoundError(path);
  }
  std::string contents;
  std::string part(std::size_t{1} << 16, '\0');
  while (true) {
    const ssize_t size = read(descriptor, part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      const bool failed = size < 0;
      close(descriptor);
      if (failed) return absl::InternalError(absl::StrCat("reading ", path));
      return contents;
    }
    contents.append(part, 0, static_cast<std::size_t>(size));
  }
}

}  // namespace file_server
