// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether functions of a set are active on a stack.
//
//   FunctionSet set({{start, end, 0}, {cold_start, cold_end, 0}});
//   Activity activity = FindActivity(snapshot, set);
//   if (!activity.quiescent()) return NotYet(activity.ToString());
//
// A function's code is several ranges: its body, its .cold part, its inlined
// copies, and the same of every version that it was redirected to, for each of
// them is still that function. The set is built beforehand; asking allocates
// nothing and takes no lock, so it may be done while threads are held.
//
// The answer is never "quiescent" unless the whole stack was seen. "Active" is
// certain even if the walk would not have been complete.
//
// A function that made a tail call is gone from the stack and not active: none
// of its code will run again because of that call.
//
// A thread that was interrupted in the code behind an intercepted entry
// (code/entry_interception.h), and is about to begin a version of the function,
// is active in it, at depth 0.
//
// Threads: a set is immutable; any thread may ask, at once, also in a signal
// handler. A stack walked must not change meanwhile (stack/stack_walker.h).

#ifndef INSTAR_STACK_ACTIVITY_H_
#define INSTAR_STACK_ACTIVITY_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/wiped.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"

namespace instar {

// Code of a function: addresses [start, end). `function` is the number by which
// the answer names it.
struct FunctionRange {
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  int function = 0;
};

class FunctionSet {
 public:
  // Ranges in any order; empty ones are ignored. Ranges may overlap (a copy
  // that was inlined into another function of the set): then that code belongs
  // to both.
  explicit FunctionSet(std::vector<FunctionRange> ranges);

  // Calls void visit(int function) for each function to which `pc` belongs.
  template <typename Visitor>
  void ForEachAt(std::uintptr_t pc, Visitor&& visit) const {
    const std::size_t i = Find(pc);
    if (i == kNone) return;
    for (std::size_t at = segments_[i].first; at != segments_[i + 1].first;
         ++at) {
      visit(functions_[at]);
    }
  }

  // Whether `pc` belongs to any function of the set.
  bool Contains(std::uintptr_t pc) const { return Find(pc) != kNone; }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  // Code from `starts_[i]` to `starts_[i + 1]` belongs to the functions
  // functions_[first] up to the next segment's.
  struct Segment {
    std::size_t first;
  };

  std::size_t Find(std::uintptr_t pc) const {
    if (pc + minus_low_ >= size_) return kNone;
    // The last start that is not above pc. The stretch of addresses that pc is
    // in leaves a few candidates, mostly one or two.
    const std::uint32_t* stretch = &stretches_[(pc + minus_low_) >> shift_];
    const std::uintptr_t* base = starts_.data() + stretch[0];
    std::size_t length = stretch[1] - stretch[0] + 1;
    while (length > 1) {
      const std::size_t half = length / 2;
      base += (base[half] <= pc) ? half : 0;
      length -= half;
    }
    const auto i = static_cast<std::size_t>(base - starts_.data());
    return segments_[i].first == segments_[i + 1].first ? kNone : i;
  }

  // The first start, with another sign: this object itself has none that could
  // be found in it later (base/wiped.h).
  std::uintptr_t minus_low_ = 0;
  std::uintptr_t size_ = 0;  // of all from there, in bytes
  // The addresses from the first start on are divided into stretches of
  // 2^shift_ bytes; for each, and for their end, the last of starts_ not above
  // its beginning.
  int shift_ = 0;
  std::vector<std::uint32_t> stretches_;
  WipedVector<std::uintptr_t> starts_;
  std::vector<Segment> segments_;  // one more than starts_
  std::vector<int> functions_;
};

enum class ActivityKind { kQuiescent, kActive, kUnknown };

struct Activity {
  ActivityKind kind = ActivityKind::kUnknown;
  // kActive: the innermost frame of a function of the set.
  int function = -1;
  int depth = -1;  // 0 is the innermost frame of the stack
  std::uintptr_t pc = 0;
  // kUnknown: how the walk ended.
  WalkResult walk;

  bool quiescent() const { return kind == ActivityKind::kQuiescent; }
  // "active: function 3 at pc 0x..., frame 2". Allocates.
  std::string ToString() const;
};

// The innermost activation of a function of `set` with a number below `limit`.
Activity FindActivity(const StackSnapshot& snapshot, const FunctionSet& set,
                      int limit = std::numeric_limits<int>::max());

// Calls void visit(int function, const Frame&) for each activation of each
// function of `set`, innermost first; returns how the walk ended.
template <typename Visitor>
WalkResult ForEachActivation(const StackSnapshot& snapshot,
                             const FunctionSet& set, Visitor&& visit) {
  return WalkStack(snapshot, [&](const Frame& frame) {
    set.ForEachAt(frame.lookup_pc,
                  [&](int function) { visit(function, frame); });
    return true;
  });
}

}  // namespace instar

#endif  // INSTAR_STACK_ACTIVITY_H_
