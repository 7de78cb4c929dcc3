// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/cases/polled_updates.h"

#include <utility>

namespace cases {

using instar::Attempt;

std::string PolledUpdates::TryNext() {
  if (queue_.empty()) return "";
  Entry& entry = queue_.front();
  const std::string name = entry.name;
  Attempt attempt = entry.requirement();
  const bool has_been_tried = attempt.is_done();
  if (has_been_tried) attempt = entry.change.Apply();
  if (attempt.is_not_yet()) {
    if (!has_been_tried || ++entry.tries >= entry.most_tries) {
      entry.tries = 0;
      queue_.push_back(std::move(entry));
      queue_.pop_front();
      return name + " is postponed: " + attempt.reason();
    }
    return name + " is not possible yet: " + attempt.reason();
  }
  queue_.pop_front();
  if (attempt.is_failed()) return name + " is dropped: " + attempt.reason();
  applied_.insert(name);
  return name + " is applied";
}

}  // namespace cases
