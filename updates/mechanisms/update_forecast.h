// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an update would do, and what stands in its way at the moment.

#ifndef INSTAR_UPDATES_MECHANISMS_UPDATE_FORECAST_H_
#define INSTAR_UPDATES_MECHANISMS_UPDATE_FORECAST_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace instar {

struct UpdateForecast {
  std::vector<std::string> steps;      // "redefine DoCommand(...)", in order
  std::vector<std::string> obstacles;  // "DoCommand is active: thread ..."
  std::vector<std::string> remarks;    // sizes, objects, warnings
  // Those of the remarks that are as true once it is applied.
  std::vector<std::string> warnings;
  // Of the whole update, as far as it can be told before: why it cannot be
  // undone once it is applied (OK: it can); and what an undo would lose.
  absl::Status can_undo;
  std::vector<std::string> lost_by_undo;

  // All that stands in its way, and the remarks.
  void Add(UpdateForecast other) {
    const auto append = [](std::vector<std::string>& to,
                           std::vector<std::string>& from) {
      for (std::string& each : from) to.push_back(std::move(each));
    };
    append(obstacles, other.obstacles);
    append(remarks, other.remarks);
    append(warnings, other.warnings);
  }
  void Warn(std::string warning) {
    remarks.push_back(warning);
    warnings.push_back(std::move(warning));
  }
};

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_UPDATE_FORECAST_H_
