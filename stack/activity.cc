// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/activity.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

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
  for (const FunctionRange& range : ranges) {
    if (range.start >= range.end) continue;
    changes.push_back({range.start, true, range.function});
    changes.push_back({range.end, false, range.function});
  }
  std::sort(changes.begin(), changes.end(),
            [](const Change& a, const Change& b) { return a.at < b.at; });
  std::multiset<int> current;
  for (std::size_t i = 0; i < changes.size();) {
    const std::uintptr_t at = changes[i].at;
    // Beginnings first: a function may end and begin at the same place.
    std::size_t end = i;
    while (end < changes.size() && changes[end].at == at) ++end;
    for (std::size_t j = i; j < end; ++j) {
      if (changes[j].begins) current.insert(changes[j].function);
    }
    for (std::size_t j = i; j < end; ++j) {
      if (!changes[j].begins) current.erase(current.find(changes[j].function));
    }
    starts_.push_back(at);
    segments_.push_back({functions_.size()});
    for (auto each = current.begin(); each != current.end();
         each = current.upper_bound(*each)) {
      functions_.push_back(*each);
    }
    i = end;
  }
  segments_.push_back({functions_.size()});
  if (starts_.empty()) return;
  low_ = starts_.front();
  size_ = starts_.back() - low_;
  // Twice as many stretches as starts, or up to four times.
  while ((size_ >> shift_) > 4 * starts_.size()) ++shift_;
  std::size_t last = 0;
  for (std::uintptr_t i = 0; i <= (size_ >> shift_) + 1; ++i) {
    while (last + 1 < starts_.size() &&
           starts_[last + 1] - low_ <= (i << shift_)) {
      ++last;
    }
    stretches_.push_back(static_cast<std::uint32_t>(last));
  }
}

Activity FindActivity(const StackSnapshot& snapshot, const FunctionSet& set) {
  Activity activity;
  activity.walk = WalkStack(snapshot, [&](const Frame& frame) {
    if (__builtin_expect(!set.Contains(frame.lookup_pc), true)) return true;
    set.ForEachAt(frame.lookup_pc, [&](int function) {
      if (activity.kind == ActivityKind::kActive) return;
      activity.kind = ActivityKind::kActive;
      activity.function = function;
      activity.depth = frame.depth;
      activity.pc = frame.pc;
    });
    return false;
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
