// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that have not changed, and for which an update waits all the same,
// since its author says so: objects of a type that has changed live no longer
// than a call of one of them, say.

#ifndef INSTAR_TOOLS_DIFFER_WAITED_FUNCTIONS_H_
#define INSTAR_TOOLS_DIFFER_WAITED_FUNCTIONS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/differ/comparison.h"
#include "tools/differ/debug_answers.h"
#include "tools/differ/files/object_folders.h"
#include "tools/differ/findings.h"

namespace instar {
namespace differ {

// Adds the objects of the old build that may have one of these functions, or
// code that was inlined from one: linkage names, or qualified ones.
absl::Status AddObjectsWith(const std::set<std::string>& functions,
                            const std::vector<ObjectFiles>& files,
                            std::set<std::string>& objects);

// The functions of the old build that have this name, and those into which one
// that has it was inlined. Refuses those that are never left.
// Error: NotFound if there is none.
absl::StatusOr<std::vector<const Unit*>> WaitedFunctions(
    absl::string_view name, const Comparison& comparison, DebugAnswers& debug,
    Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_WAITED_FUNCTIONS_H_
