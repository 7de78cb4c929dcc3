// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether types whose layout has changed may have objects that exist: they have
// the old layout, and new code would take them for the new one. The same goes
// for variables that are of another type than before.

#ifndef INSTAR_TOOLS_DIFFER_JUDGES_LAYOUT_JUDGE_H_
#define INSTAR_TOOLS_DIFFER_JUDGES_LAYOUT_JUDGE_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/differ/comparison.h"
#include "tools/differ/debug_answers.h"
#include "tools/differ/dwarf/type_changes.h"
#include "tools/differ/findings.h"
#include "tools/differ/judges/lasting_code.h"

namespace instar {
namespace differ {

struct LayoutJudgement {
  // Types whose objects are converted when the update is applied: they have got
  // members, and the new build says by INSTAR_CONVERT (heap/appended_member.h)
  // what these are to be.
  std::set<std::string> converted;
  // Types that the new build does not have any more, for the next update to
  // know.
  TypeDigests gone;
};

// `allowed`: qualified names of types of which the author says that it is right
// all the same. `gone`: what updates before this one have found to be gone.
LayoutJudgement JudgeLayouts(const Comparison& comparison,
                             const std::set<std::string>& allowed,
                             const TypeDigests& gone, DebugAnswers& debug,
                             Findings& findings);

// Refuses such a conversion where code without a new version, which goes on,
// knows the class: it would make objects of the old size. `users`: as below.
void JudgeConversions(const LastingCode& lasting,
                      const std::map<std::string, std::string>& users,
                      Findings& findings);

// As DebugQuestions::changed_closures.
std::vector<std::string> ChangedClosures(const std::vector<ObjectPair>& pairs,
                                         DebugAnswers& debug);

// Functions of the old build that know one of these types, by linkage name, and
// the type.
std::map<std::string, std::string> UsersOfTypes(
    const Comparison& comparison, const std::set<std::string>& types,
    DebugAnswers& debug);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_JUDGES_LAYOUT_JUDGE_H_
