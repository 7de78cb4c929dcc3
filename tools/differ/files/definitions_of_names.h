// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which definition a global name means, in both builds. What calls a function
// or uses a variable by name is the same code in both, whatever the name means:
// an unchanged function would go on with what the name meant before.

#ifndef INSTAR_TOOLS_DIFFER_FILES_DEFINITIONS_OF_NAMES_H_
#define INSTAR_TOOLS_DIFFER_FILES_DEFINITIONS_OF_NAMES_H_

#include <vector>

#include "absl/status/status.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/findings.h"

namespace instar {
namespace differ {

// Refuses names of all objects of the program whose definition is another kind
// of one in the new build:
//   - one that was left to a library (or to nobody: a weak reference) has a
//     definition now, or has none any more, and is used;
//   - one that was the same place as another is none any more, or the reverse
//     (an alias);
//   - a weak definition stands behind a strong one of another object now, or
//     the reverse.
// Not names of COMDAT groups, of which each object may have one, nor
// definitions that have moved from one object to another.
absl::Status JudgeDefinitions(const std::vector<ObjectFiles>& files,
                              Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_DEFINITIONS_OF_NAMES_H_
