// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an exploration has found (tools/explorer/explorer.h).

#ifndef INSTAR_TOOLS_EXPLORER_EXPLORER_REPORT_H_
#define INSTAR_TOOLS_EXPLORER_EXPLORER_REPORT_H_

#include <cstddef>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tools/explorer/judge.h"

namespace instar {

enum class PointOutcome {
  kRight,  // applied there, and what the workload says is right
  // It cannot be applied there, and would wait; of update functions, some have
  // waited until the workload ended, and what it says is right.
  kWaits,
  kRefused,  // it is refused there or fails, and all is as without it
  kWrong,
  kCrashes,  // or ends before the workload has returned
  kHangs,
};
constexpr int kPointOutcomes = 6;

// "right", "waits", ...
const char* ToString(PointOutcome outcome);

struct ExploredPoint {
  std::string thread;
  std::size_t number = 0;  // from 1, among the points of its thread
  // "UpdatePoint("between sales") in shop::Till()", "entry of shop::Sell(int)".
  std::string where;
  PointOutcome outcome = PointOutcome::kRight;
  std::string why;  // if it is not right
  // Where the thread is, innermost first. Of points that are not right.
  std::vector<std::string> stack;
  // On standard output; and the end of what it says on standard error, of those
  // that crash or hang. Of points that go wrong.
  Lines output, errors;
};

struct ExplorerReport {
  std::string update;
  // Why nothing could be explored, or the update is at no point what it should
  // be: the workload is not deterministic, has no update points, or fails
  // without the update; the update is never applied.
  absl::Status status;
  std::size_t points = 0;  // that the workload has
  // In the order of thread and number.
  std::vector<ExploredPoint> tried;
  // What is to be known besides, a sentence each.
  std::vector<std::string> remarks;

  std::size_t Count(PointOutcome outcome) const;
  // Of which it is wrong, crashes, or hangs.
  std::size_t failures() const;
  // Null if it goes wrong nowhere.
  const ExploredPoint* FirstFailure() const;

  // It goes wrong nowhere, and was applied somewhere.
  bool ok() const { return status.ok() && failures() == 0; }

  // For people, several lines.
  std::string ToString() const;
};

std::ostream& operator<<(std::ostream& stream, const ExplorerReport& report);

}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_EXPLORER_REPORT_H_
