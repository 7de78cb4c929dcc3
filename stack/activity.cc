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
#include "code/internal/entry_code.h"

namespace instar {
namespace {

using code_internal::instar_entry_code;

// Where a thread goes on that was interrupted in the code behind an intercepted
// entry: it may have looked that up before a change, and is about to begin
// there. 0 for all others.
std::uintptr_t AboutToBegin(const StackSnapshot& snapshot) {
  if (!snapshot.is_interrupted || &instar_entry_code == nullptr) return 0;
  const auto begin = reinterpret_cast<std::uintptr_t>(instar_entry_code.begin);
  const auto end = reinterpret_cast<std::uintptr_t>(instar_entry_code.end);
  if (snapshot.pc < begin || snapshot.pc >= end) return 0;
  // The frame in this code that is called by no other is the thunk's; where its
  // caller goes on, it ends.
  std::uintptr_t about_to_begin = 0;
  WalkStack(snapshot, [&](const Frame& frame) {
    if (frame.lookup_pc >= begin && frame.lookup_pc < end) return true;
    about_to_begin = stack_internal::ReadStack(
        frame.sp - code_internal::kEntrySlotBelowFrame + snapshot.copy_offset);
    return false;
  });
  return about_to_begin;
}

}  // namespace

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
  Wipe(changes);
  Wipe(ranges);
  segments_.push_back({functions_.size()});
  if (starts_.empty()) return;
  const std::uintptr_t low = starts_.front();
  minus_low_ = 0 - low;
  size_ = starts_.back() - low;
  // Twice as many stretches as starts, or up to four times.
  while ((size_ >> shift_) > 4 * starts_.size()) ++shift_;
  stretches_.reserve((size_ >> shift_) + 2);
  std::size_t last = 0;
  for (std::uintptr_t i = 0; i <= (size_ >> shift_) + 1; ++i) {
    while (last + 1 < starts_.size() &&
           starts_[last + 1] - low <= (i << shift_)) {
      ++last;
    }
    stretches_.push_back(static_cast<std::uint32_t>(last));
  }
}

Activity FindActivity(const StackSnapshot& snapshot, const FunctionSet& set,
                      int limit) {
  Activity activity;
  const auto look_at = [&](std::uintptr_t lookup_pc, std::uintptr_t pc,
                           int depth) {
    set.ForEachAt(lookup_pc, [&](int function) {
      if (function >= limit || activity.kind == ActivityKind::kActive) return;
      activity.kind = ActivityKind::kActive;
      activity.function = function;
      activity.depth = depth;
      activity.pc = pc;
    });
    return activity.kind != ActivityKind::kActive;
  };
  const std::uintptr_t begins = AboutToBegin(snapshot);
  if (begins != 0 && !look_at(begins, begins, /*depth=*/0)) return activity;
  activity.walk = WalkStack(snapshot, [&](const Frame& frame) {
    if (__builtin_expect(!set.Contains(frame.lookup_pc), true)) return true;
    return look_at(frame.lookup_pc, frame.pc, frame.depth);
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
