// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Variables that were several and are one now, or the reverse. What is `static`
// in a header is another variable in each file that includes it; what is
// `inline` or `extern` there is one.

#ifndef INSTAR_TOOLS_DIFFER_JUDGES_VARIABLE_JUDGE_H_
#define INSTAR_TOOLS_DIFFER_JUDGES_VARIABLE_JUDGE_H_

#include <string>

#include "absl/container/flat_hash_set.h"
#include "tools/differ/comparison.h"
#include "tools/differ/findings.h"

namespace instar {
namespace differ {

// Names that objects know of each other.
struct VariableNames {
  // What objects of the old build define, all of them.
  const absl::flat_hash_set<std::string>& old_defined;
  // What objects define that are identical in both, and are not compared.
  const absl::flat_hash_set<std::string>& identical;
};

// Refuses those: which of several values the one would have, or which of
// several the one value, is not known. Constants have one value each.
void JudgeVariables(const Comparison& comparison, const VariableNames& names,
                    Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_JUDGES_VARIABLE_JUDGE_H_
