// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether what a run says is right.
//
//   ExplorerOptions options;
//   options.judge = [](const ExploredRun& run) {
//     return run.output.back() == "all sold"
//                ? absl::OkStatus()
//                : absl::InternalError("not all was sold");
//   };

#ifndef INSTAR_TOOLS_EXPLORER_JUDGE_H_
#define INSTAR_TOOLS_EXPLORER_JUDGE_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace instar {

using Lines = std::vector<std::string>;

struct ExploredRun {
  Lines output;
  // What the workload says without the update, and with it from before the
  // workload on, or from the earliest point at which it can be applied. In the
  // run of that point, `with_update` is its own output then.
  const Lines& without_update;
  const Lines& with_update;
  // False: the update was refused, or failed, or is not there (a run that is
  // without it).
  bool is_applied = false;
  // So many lines there were when the thread had come to the point.
  std::size_t lines_before = 0;
};

// OK, or what is wrong.
using Judge = std::function<absl::Status(const ExploredRun& run)>;

// An old beginning, the lines before the point at least, and a new end. If both
// versions say as many lines as the other, the new ones stand where the old
// ones would; otherwise the end may begin anywhere. What was not applied says
// what there is without it.
absl::Status OldThenNew(const ExploredRun& run);

// "line 3: 'a' in the first, 'b' in the second"; nothing if there is none.
std::optional<std::string> FirstDifference(const Lines& first,
                                           const Lines& second);

}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_JUDGE_H_
