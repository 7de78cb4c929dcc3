// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that the linker of the program has folded: it found the same code
// in several, and kept it once (--icf of gold and lld).

#ifndef INSTAR_TOOLS_DIFFER_JUDGES_FOLDED_FUNCTIONS_H_
#define INSTAR_TOOLS_DIFFER_JUDGES_FOLDED_FUNCTIONS_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "tools/differ/comparison.h"
#include "tools/differ/findings.h"
#include "tools/differ/linked_image.h"
#include "tools/differ/object.h"
#include "tools/differ/update_state.h"

namespace instar {
namespace differ {

// Refuses changes of a function that has its entry in common with one of
// another name, or of another file: both would change. Several names of one
// function are none of these.
// `old_defined`: what objects of the old build define for each other.
void JudgeFolded(const Comparison& comparison,
                 const absl::flat_hash_map<const Unit*, Place>& place_of,
                 const LinkedImage& target,
                 const absl::flat_hash_set<std::string>& old_defined,
                 Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_JUDGES_FOLDED_FUNCTIONS_H_
