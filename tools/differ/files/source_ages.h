// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Objects that were not built after their sources had changed.

#ifndef INSTAR_TOOLS_DIFFER_FILES_SOURCE_AGES_H_
#define INSTAR_TOOLS_DIFFER_FILES_SOURCE_AGES_H_

#include <vector>

#include "tools/differ/files/object_folders.h"
#include "tools/differ/findings.h"

namespace instar {
namespace differ {

// Warns of each object of the new build that is older than one of the sources
// and headers that its debug information names, as far as these are there.
void WarnOfAges(const std::vector<ObjectFiles>& files, Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_SOURCE_AGES_H_
