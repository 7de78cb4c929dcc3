// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/findings.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace instar {
namespace differ {

void Findings::Add(Severity severity, absl::string_view object,
                   std::string message) {
  if (known_.emplace(severity, object, message).second) {
    all_.push_back({severity, std::string(object), std::move(message)});
  }
}

std::string Listed(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 10;
  const std::size_t shown = std::min(names.size(), kShown);
  std::string out = absl::StrJoin(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", ");
  if (names.size() > shown) {
    absl::StrAppend(&out, " and ", names.size() - shown, " more");
  }
  return out;
}

}  // namespace differ
}  // namespace instar
