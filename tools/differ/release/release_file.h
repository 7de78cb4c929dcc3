// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A release file: all of a build that later comparisons need, to be kept as one
// keeps debug information. It is a tar archive, compressed by zstd:
//
//   release.json     what the others are, with their sizes and digests
//   program          as it was linked
//   objects/PATH     that it was linked from, and static libraries of them
//   sources/PATH     which debug information names, but for those of the system,
//                    and those that have been edited since they were compiled
//   release.digest   of release.json
//
// Files are kept whole, so that a comparison with a release is one with the
// folder that it was made of: hardly a section is never looked at, and modules
// know by digests which objects they were made of.

#ifndef INSTAR_TOOLS_DIFFER_RELEASE_RELEASE_FILE_H_
#define INSTAR_TOOLS_DIFFER_RELEASE_RELEASE_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/moved_lines.h"

namespace instar {
namespace differ {

struct ReleaseRequest {
  std::string program;
  // Modules that have been applied to it; the objects are then those of the
  // build that the last one brought.
  std::vector<std::string> after;
  // Where the objects are, and which; `names` is empty for all that are the
  // program's (FindObjects(), ChooseObjects()).
  std::string folder;
  std::vector<std::string> names;
  // Objects by their names and paths, in place of the folder.
  std::vector<NamedObject> objects;
  // As UpdateRequest's; the release remembers them.
  std::vector<std::string> excluded;
  std::vector<std::string> unchanged;
  std::string output;
};

struct ReleaseSummary {
  std::string build_id;
  std::uint64_t objects = 0;
  std::uint64_t sources = 0;
  std::uint64_t size = 0;  // of the file
};

// Errors: InvalidArgument for objects that are missing, or that the program was
// not linked from; what cannot be read or written, named.
absl::StatusOr<ReleaseSummary> WriteRelease(const ReleaseRequest& request);

struct Release {
  std::string program;             // path of its copy
  std::string program_was;         // path that it had
  std::string build_id;            // hexadecimal
  std::vector<std::string> after;  // build ids of the modules
  std::string folder;              // with copies of the objects
  std::vector<NamedObject> objects;
  std::vector<std::string> excluded;
  std::vector<std::string> unchanged;
  SourceTexts sources;
};

// Makes the copies in `folder`.
// Errors: NotFound for a file that cannot be read; InvalidArgument for one that
// is no release file, or is truncated or damaged.
absl::StatusOr<Release> UnpackRelease(const std::string& path,
                                      const std::string& folder);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_RELEASE_RELEASE_FILE_H_
