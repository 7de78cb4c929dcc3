// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The parts of a bundle: a file that holds the modules of one update for
// several builds of its program. It is an archive of ar(1), as `ar t` lists it,
// whose names mean nothing: each module says for which build it is.
// Internal to this package; users see manager/module/module_file.h.
//
// What the file says is checked against its size. Errors: InvalidArgument, a
// phrase that goes on after "it ".
//
// Threads: any.

#ifndef INSTAR_MANAGER_MODULE_BUNDLE_H_
#define INSTAR_MANAGER_MODULE_BUNDLE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {
namespace manager_internal {

struct BundlePart {
  std::size_t offset;  // of its first byte in the file
  std::size_t size;
};

// Whether an open file begins as an archive does.
bool IsBundle(int file);

// Without what is none of its members: the table of symbols, and of long names.
absl::StatusOr<std::vector<BundlePart>> FindBundleParts(int file,
                                                        std::size_t file_size);

inline constexpr char kBundleBegin[] = "!<arch>\n";

// A member as it stands in the archive, with its header and its padding. Of the
// name, the first 15 characters.
std::string BundleMember(absl::string_view name, absl::string_view bytes);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_BUNDLE_H_
