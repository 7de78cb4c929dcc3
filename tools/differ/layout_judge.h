// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether types whose layout has changed may have objects that exist: they have
// the old layout, and new code would take them for the new one. The same goes
// for variables that are of another type than before.

#ifndef INSTAR_TOOLS_DIFFER_LAYOUT_JUDGE_H_
#define INSTAR_TOOLS_DIFFER_LAYOUT_JUDGE_H_

#include <set>
#include <string>

#include "tools/differ/comparison.h"
#include "tools/differ/debug_answers.h"
#include "tools/differ/findings.h"

namespace instar {
namespace differ {

// `allowed`: qualified names of types of which the author says that it is right
// all the same.
void JudgeLayouts(const Comparison& comparison,
                  const std::set<std::string>& allowed, DebugAnswers& debug,
                  Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_LAYOUT_JUDGE_H_
