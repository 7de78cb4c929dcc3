// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program does once, when it starts: an update comes after that. Static
// initializers and constructors are the comparison's to tell.

#ifndef INSTAR_TOOLS_DIFFER_JUDGES_START_JUDGE_H_
#define INSTAR_TOOLS_DIFFER_JUDGES_START_JUDGE_H_

#include <string>

#include "absl/container/flat_hash_set.h"
#include "tools/differ/comparison.h"
#include "tools/differ/findings.h"

namespace instar {
namespace differ {

// Notes the changed functions that nothing uses but main() and other functions
// that are never left, and new variables, whose first values know nothing of
// what the program has done. `used_elsewhere`: names that objects refer to
// which are not compared.
void JudgeStart(const Comparison& comparison,
                const absl::flat_hash_set<std::string>& used_elsewhere,
                Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_JUDGES_START_JUDGE_H_
