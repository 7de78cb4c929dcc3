// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/findings.h"

#include <algorithm>
#include <utility>

namespace instar {
namespace differ {

void Findings::Add(Severity severity, absl::string_view object,
                   std::string message) {
  const bool is_known =
      std::any_of(all_.begin(), all_.end(), [&](const Finding& finding) {
        return finding.severity == severity && finding.object == object &&
               finding.message == message;
      });
  if (!is_known) {
    all_.push_back({severity, std::string(object), std::move(message)});
  }
}

}  // namespace differ
}  // namespace instar
