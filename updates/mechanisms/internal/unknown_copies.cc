// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/internal/unknown_copies.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "code/symbols/find_functions.h"

namespace instar {
namespace updates_internal {

void RemarkOnUnknownCopies(UpdateForecast& forecast) {
  const std::string unknown = CodeOfUnknownCopies();
  if (unknown.empty()) return;
  std::string remark = absl::StrCat(
      "inline functions, and those of the classes, may have been inlined where "
      "nobody knows: ",
      unknown);
  if (std::find(forecast.remarks.begin(), forecast.remarks.end(), remark) ==
      forecast.remarks.end()) {
    forecast.remarks.push_back(std::move(remark));
  }
}

}  // namespace updates_internal
}  // namespace instar
