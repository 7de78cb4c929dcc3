// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program does once, when it starts: an update comes after that. Of
// constructors (__attribute__((constructor))) the comparison tells.

#ifndef INSTAR_TOOLS_DIFFER_JUDGES_START_JUDGE_H_
#define INSTAR_TOOLS_DIFFER_JUDGES_START_JUDGE_H_

#include <string>

#include "absl/container/flat_hash_set.h"
#include "tools/differ/comparison.h"
#include "tools/differ/findings.h"

namespace instar {
namespace differ {

// What objects of the old build, all of them, say of names.
struct StartNames {
  absl::flat_hash_set<std::string> defined;  // for others
  // To which objects refer that are not compared.
  absl::flat_hash_set<std::string> used_elsewhere;
};

// Refuses new variables whose initializers would have to run, unless the
// program has them already (inline variables that one more file includes), and
// warns of other initializers that have changed.
//
// Notes the changed functions that nothing uses but main() and other functions
// that are never left, and new variables, whose first values know nothing of
// what the program has done.
void JudgeStart(const Comparison& comparison, const StartNames& names,
                Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_JUDGES_START_JUDGE_H_
