// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/thread_ref.h"

namespace instar {

using threads_internal::Registry;

std::vector<ThreadRef> ControlledThreads() {
  std::vector<ThreadRef> threads;
  for (auto& record : Registry::Get().All()) {
    threads.emplace_back(std::move(record));
  }
  return threads;
}

std::vector<ThreadRef> ControlledThreads(absl::string_view name) {
  std::vector<ThreadRef> threads;
  for (auto& record : Registry::Get().All()) {
    if (record->name == name) threads.emplace_back(std::move(record));
  }
  return threads;
}

std::optional<ThreadRef> ThisControlledThread() {
  const auto* const mine = threads_internal::this_thread.record;
  if (mine == nullptr) return std::nullopt;
  for (auto& record : Registry::Get().All()) {
    if (record.get() == mine) return ThreadRef(std::move(record));
  }
  return std::nullopt;
}

}  // namespace instar
