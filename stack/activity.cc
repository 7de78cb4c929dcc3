// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/activity.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"

namespace instar {

FunctionSet::FunctionSet(std::vector<FunctionRange> ranges) {
  // Each range begins and ends its function; between two neighbouring places
  // the functions are the same.
  struct Change {
    std::uintptr_t at;
    bool begins;
    int function;
  };
  std::vector<Change> changes;
  changes.reserve(2 * ranges.size());
  for (const FunctionRange& range : ranges) {
    if (range.start >= range.end) continue;
    changes.push_back({range.start, true, range.function});
    changes.push_back({range.end, false, range.function});
  }
  std::sort(changes.begin(), changes.end(),
            [](const Change& a, const Change& b) { return a.at < b.at; });
  starts_.reserve(changes.size());
  segments_.reserve(changes.size() + 1);
  functions_.reserve(changes.size());
  // In order; mostly one or two.
  absl::InlinedVector<int, 8> current;
  for (std::size_t i = 0; i < changes.size();) {
    const std::uintptr_t at = changes[i].at;
    // Beginnings first: a function may end and begin at the same place.
    std::size_t end = i;
    while (end < changes.size() && changes[end].at == at) ++end;
    for (std::size_t j = i; j < end; ++j) {
      if (!changes[j].begins) continue;
      current.insert(
          std::upper_bound(current.begin(), current.end(), changes[j].function),
          changes[j].function);
    }
    for (std::size_t j = i; j < end; ++j) {
      if (changes[j].begins) continue;
      current.erase(std::lower_bound(current.begin(), current.end(),
                                     changes[j].function));
    }
    starts_.push_back(at);
    segments_.push_back({functions_.size()});
    std::unique_copy(current.begin(), current.end(),
                     std::back_inserter(functions_));
    i = end;
  }
  segments_.push_back({functions_.size()});
  if (starts_.empty()) return;
  low_ = starts_.front();
  size_ = starts_.back() - low_;
  // Twice as many stretches as starts, or up to four times.
  while ((size_ >> shift_) > 4 * starts_.size()) ++shift_;
  stretches_.reserve((size_ >> shift_) + 2);
  std::size_t last = 0;
  for (std::uintptr_t i = 0; i <= (size_ >> shift_) + 1; ++i) {
    while (last + 1 < starts_.size() &&
           starts_[last + 1] - low_ <= (i << shift_)) {
      ++last;
    }
    stretches_.push_back(static_cast<std::uint32_t>(last));
  }
}

Activity FindActivity(const StackSnapshot& snapshot, const FunctionSet& set,
                      int limit) {
  Activity activity;
  activity.walk = WalkStack(snapshot, [&](const Frame& frame) {
    if (__builtin_expect(!set.Contains(frame.lookup_pc), true)) return true;
    set.ForEachAt(frame.lookup_pc, [&](int function) {
      if (function >= limit || activity.kind == ActivityKind::kActive) return;
      activity.kind = ActivityKind::kActive;
      activity.function = function;
      activity.depth = frame.depth;
      activity.pc = frame.pc;
    });
    return activity.kind != ActivityKind::kActive;
  });
  if (activity.walk.complete()) activity.kind = ActivityKind::kQuiescent;
  return activity;
}

std::string Activity::ToString() const {
  switch (kind) {
    case ActivityKind::kQuiescent:
      return "quiescent";
    case ActivityKind::kActive:
      return absl::StrCat("active: function ", function, " at pc 0x",
                          absl::Hex(pc), ", frame ", depth);
    case ActivityKind::kUnknown:
      break;
  }
  return absl::StrCat("unknown: ", walk.ToString());
}

}  // namespace instar
