// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/look.h"

#include <algorithm>
#include <cstring>

#include "stack/activity.h"

namespace instar {
namespace updates_internal {

bool IsQuiescent(StoppedWorld& world,
                 absl::Span<const WatchedFunctions* const> watched,
                 Obstacles& obstacles,
                 absl::FunctionRef<bool(const ThreadRef&)> leave_out) {
  const auto look_at = [&](const StoppedWorld::Stack& stack) {
    for (const WatchedFunctions* const set : watched) {
      Obstacle obstacle;
      obstacle.activity = stack.is_own ? set->FindOnOwn(*stack.snapshot)
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
  bool grew = false;
  do {
    if (!world.VisitStacks(look_at, leave_out, obstacles)) return false;
    if (!obstacles.empty()) return false;
    if (!world.IsComplete(&grew, obstacles)) return false;
  } while (grew);
  return true;
}

}  // namespace updates_internal
}  // namespace instar
