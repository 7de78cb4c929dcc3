// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/internal/look.h"

#include <algorithm>
#include <cstring>

#include "stack/activity.h"
#include "stack/stack_walker.h"

namespace instar {
namespace updates_internal {
namespace {

// As WatchedFunctions::FindOn(), without the frames that are unwound.
Activity FindAbove(const WatchedFunctions& watched,
                   const StoppedWorld::Stack& stack) {
  Activity activity;
  activity.walk = WalkStack(*stack.snapshot, [&](const Frame& frame) {
    if (frame.sp < stack.counts_from &&
        stack.snapshot->bounds.Contains(frame.sp)) {
      return true;
    }
    watched.set().ForEachAt(frame.lookup_pc, [&](int function) {
      if (activity.function >= 0) return;
      activity.kind = ActivityKind::kActive;
      activity.function = function;
      activity.depth = frame.depth;
      activity.pc = frame.pc;
    });
    return activity.kind != ActivityKind::kActive;
  });
  if (activity.kind != ActivityKind::kActive && activity.walk.complete()) {
    activity.kind = ActivityKind::kQuiescent;
  }
  return activity;
}

}  // namespace

bool IsQuiescent(StoppedWorld& world,
                 absl::Span<const WatchedFunctions* const> watched,
                 Obstacles& obstacles, StoppedWorld::CountsFrom counts_from) {
  const auto look_at = [&](const StoppedWorld::Stack& stack) {
    for (const WatchedFunctions* const set : watched) {
      Obstacle obstacle;
      obstacle.activity = stack.is_own ? set->FindOnOwn(*stack.snapshot)
                          : stack.counts_from != StoppedWorld::kAllCounts
                              ? FindAbove(*set, stack)
                              : set->FindOn(*stack.snapshot);
      if (obstacle.activity.quiescent()) continue;
      obstacle.tid = stack.tid;
      obstacle.is_own = stack.is_own;
      obstacle.watched = set;
      const std::size_t size =
          std::min(stack.continulet.size(), sizeof(obstacle.continulet) - 1);
      std::memcpy(obstacle.continulet, stack.continulet.data(), size);
      obstacles.Add(obstacle);
      if (obstacle.activity.kind == ActivityKind::kUnknown) break;  // for all
    }
    return !obstacles.is_full();
  };
  return world.VisitStacks(look_at, counts_from, obstacles) &&
         obstacles.empty();
}

}  // namespace updates_internal
}  // namespace instar
