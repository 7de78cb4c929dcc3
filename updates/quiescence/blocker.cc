// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/blocker.h"

#include "absl/strings/str_cat.h"

namespace instar {

std::string ToString(const Blocker& blocker) {
  std::string text;
  if (!blocker.thread.empty()) {
    text = absl::StrCat("thread '", blocker.thread, "' (", blocker.tid, "): ");
  } else if (blocker.tid != 0) {
    text = absl::StrCat("thread ", blocker.tid, ": ");
  }
  absl::StrAppend(&text, blocker.reason);
  if (blocker.since.count() > 0) {
    const auto since =
        std::chrono::duration_cast<std::chrono::milliseconds>(blocker.since);
    absl::StrAppend(&text, ", for ", since.count(), " ms");
  }
  if (!blocker.remedy.empty()) {
    absl::StrAppend(&text, " (", blocker.remedy, ")");
  }
  return text;
}

}  // namespace instar
