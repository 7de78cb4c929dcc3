// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The objects in a static library (ar). One is named by the library's path and
// its own name: "lib/libshop.a(cart.o)"; the second of one name in a library is
// "lib/libshop.a(cart.o#2)".

#ifndef INSTAR_TOOLS_DIFFER_FILES_ARCHIVE_H_
#define INSTAR_TOOLS_DIFFER_FILES_ARCHIVE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace instar {
namespace differ {

struct ArchiveMember {
  std::string name;  // with "#2" behind the second of one name
  absl::string_view bytes;
};

// Whether they are those of an archive that names its objects and holds none.
bool IsThinArchive(absl::string_view bytes);

// Its members, in their order, without its index. Of a thin archive, which
// holds no objects, none.
// Errors: InvalidArgument for bytes that are no archive, or a damaged one. They
// do not name it.
absl::StatusOr<std::vector<ArchiveMember>> MembersOf(absl::string_view bytes);

// A path that names a member, in its two parts; nothing if it is that of a
// file.
struct MemberPath {
  std::string archive;
  std::string member;
};
std::optional<MemberPath> SplitMemberPath(absl::string_view path);
std::string JoinMemberPath(absl::string_view archive, absl::string_view member);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_ARCHIVE_H_
