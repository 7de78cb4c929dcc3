// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/bundle.h"

#include <ar.h>
#include <errno.h>
#include <unistd.h>

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace instar {
namespace manager_internal {
namespace {

static_assert(sizeof(kBundleBegin) - 1 == SARMAG);
constexpr std::size_t kMaxParts = 1024;

bool ReadAt(int file, std::size_t offset, void* result, std::size_t size) {
  ssize_t length;
  do {
    length = pread(file, result, size, static_cast<off_t>(offset));
  } while (length < 0 && errno == EINTR);
  return length == static_cast<ssize_t>(size);
}

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("is a bundle that is truncated or damaged (", what,
                   "); make or copy it again"));
}

}  // namespace

bool IsBundle(int file) {
  char begin[SARMAG];
  return ReadAt(file, 0, begin, sizeof(begin)) &&
         std::memcmp(begin, ARMAG, SARMAG) == 0;
}

absl::StatusOr<std::vector<BundlePart>> FindBundleParts(int file,
                                                        std::size_t file_size) {
  std::vector<BundlePart> parts;
  std::size_t at = SARMAG;
  while (at < file_size) {
    ar_hdr header;
    if (file_size - at < sizeof(header) ||
        !ReadAt(file, at, &header, sizeof(header)) ||
        std::memcmp(header.ar_fmag, ARFMAG, sizeof(header.ar_fmag)) != 0) {
      return Damaged("the header of a member");
    }
    at += sizeof(header);
    std::size_t size = 0;
    if (!absl::SimpleAtoi(
            absl::string_view(header.ar_size, sizeof(header.ar_size)), &size) ||
        size > file_size - at) {
      return Damaged("the size of a member");
    }
    const absl::string_view name(header.ar_name, sizeof(header.ar_name));
    // "/", "//" and "/SYM64/" are tables; "/123" is where a long name stands.
    if (name[0] != '/' || (name[1] >= '0' && name[1] <= '9')) {
      if (parts.size() == kMaxParts) {
        return absl::InvalidArgumentError(absl::StrCat(
            "is a bundle of more than ", kMaxParts, " modules; divide it"));
      }
      parts.push_back({at, size});
    }
    // Members begin at even places; the last one may lack its padding.
    at += size + size % 2;
  }
  if (parts.empty()) {
    return absl::InvalidArgumentError("is a bundle that holds no module");
  }
  return parts;
}

std::string BundleMember(absl::string_view name, absl::string_view bytes) {
  std::string member = absl::StrFormat("%-16s%-12d%-6d%-6d%-8s%-10d%s",
                                       absl::StrCat(name.substr(0, 15), "/"), 0,
                                       0, 0, "100644", bytes.size(), ARFMAG);
  absl::StrAppend(&member, bytes, bytes.size() % 2 == 0 ? "" : "\n");
  return member;
}

}  // namespace manager_internal
}  // namespace instar
