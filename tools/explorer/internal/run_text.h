// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What runs have left, as people read it. Internal to this package.

#ifndef INSTAR_TOOLS_EXPLORER_INTERNAL_RUN_TEXT_H_
#define INSTAR_TOOLS_EXPLORER_INTERNAL_RUN_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/explorer/explorer_report.h"
#include "tools/explorer/internal/child_runs.h"
#include "tools/explorer/internal/run_record.h"
#include "tools/explorer/judge.h"

namespace instar {
namespace explorer_internal {

Lines LinesOf(const std::string& text);
// The last of what was said on standard error.
Lines EndOf(Lines errors);

// "entry of shop::Sell(int)".
std::string TextOf(const RecordedPoint& point);
// Functions, without what the library and the standard library do on their own
// account.
std::vector<std::string> StackOf(const std::vector<std::uintptr_t>& pcs);

// How a run ended, if it should not have ended so: kCrashes or kHangs, and why.
struct BadEnd {
  PointOutcome outcome;
  std::string why;
};
std::optional<BadEnd> BadEndOf(const FinishedRun& run, const RunRecord& record);

// The first difference between the points of two runs, a sentence; nothing if
// there is none.
std::optional<std::string> DifferenceOfPoints(const RunRecord& first,
                                              const RunRecord& second);

}  // namespace explorer_internal
}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_INTERNAL_RUN_TEXT_H_
