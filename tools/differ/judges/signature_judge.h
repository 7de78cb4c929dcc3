// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions whose parameters or result have changed while their name has not:
// of C, and results of C++; member functions that have become static, or the
// other way; and those that return and did not. All their callers have changed
// with them; but one that runs while the update is applied and calls on would
// call the new version as if it were the old one. So such a caller has to be on
// no stack then, and one that goes on as it was (lasting_code.h) makes the
// update impossible. So does an address that is kept where it can be read at
// any time.

#ifndef INSTAR_TOOLS_DIFFER_JUDGES_SIGNATURE_JUDGE_H_
#define INSTAR_TOOLS_DIFFER_JUDGES_SIGNATURE_JUDGE_H_

#include <set>
#include <string>
#include <vector>

#include "tools/differ/comparison.h"
#include "tools/differ/debug_answers.h"
#include "tools/differ/findings.h"
#include "tools/differ/judges/lasting_code.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {

// Units of the old build.
struct SignatureJudgement {
  // They are called in another way now.
  std::set<const Unit*> changed;
  // They call one of those, and have to be on no stack though they have no new
  // version.
  std::vector<const Unit*> watched;
};

// Refuses and notes what has to be. `still_called`: functions that code from
// before an earlier update may call (UpdateState).
SignatureJudgement JudgeSignatures(const Comparison& comparison,
                                   const LastingCode& lasting,
                                   const std::set<std::string>& still_called,
                                   DebugAnswers& debug, Findings& findings);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_JUDGES_SIGNATURE_JUDGE_H_
