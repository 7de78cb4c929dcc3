// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The objects of two builds, by their paths in two folders.

#ifndef INSTAR_TOOLS_DIFFER_FILES_OBJECT_FOLDERS_H_
#define INSTAR_TOOLS_DIFFER_FILES_OBJECT_FOLDERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace instar {
namespace differ {

struct ObjectFiles {
  std::string name;      // the path in both folders
  std::string old_path;  // empty: not in that build
  std::string new_path;
  bool is_identical = false;
};

struct NamedObject {
  std::string name;  // the same in both builds
  std::string path;
};

// Of options NAME=FILE. Error: InvalidArgument for one that is none.
absl::StatusOr<std::vector<NamedObject>> ParseNamedObjects(
    const std::vector<std::string>& options);

// Whether one of the patterns, with `*` and `?`, stands for that name.
bool IsAmong(const std::vector<std::string>& patterns, const std::string& name);

// Without those whose names match one of the patterns, with `*` and `?`.
std::vector<ObjectFiles> Without(const std::vector<std::string>& patterns,
                                 std::vector<ObjectFiles> files);

// Those of one name belong together.
std::vector<ObjectFiles> MatchObjects(
    const std::vector<NamedObject>& old_objects,
    const std::vector<NamedObject>& new_objects);

// `names`: empty for all files that end in .o, and all objects of static
// libraries (.a) that are not such a file, too, in any folder below. A name may
// be that of a library, or of an object in it (archive.h). Sorted.
// Errors: NotFound for a folder, or an object that is in neither; what cannot
// be read.
absl::StatusOr<std::vector<ObjectFiles>> FindObjects(
    const std::string& old_folder, const std::string& new_folder,
    const std::vector<std::string>& names);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_OBJECT_FOLDERS_H_
