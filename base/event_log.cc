// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/event_log.h"

#include <utility>

#include "base/no_allocation.h"

namespace instar {

void EventLog::Add(std::string event) {
  const AuthorsPart whose_lock_is_free(nullptr);
  std::lock_guard<std::mutex> lock(mutex_);
  events_.push_back(std::move(event));
}

std::vector<std::string> EventLog::Events() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return events_;
}

std::vector<std::string> EventLog::Take() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(events_, {});
}

}  // namespace instar
