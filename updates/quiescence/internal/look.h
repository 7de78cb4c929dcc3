// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The look at the stacks of a stopped world: whether functions are quiescent.
// Internal to this package.

#ifndef INSTAR_UPDATES_QUIESCENCE_INTERNAL_LOOK_H_
#define INSTAR_UPDATES_QUIESCENCE_INTERNAL_LOOK_H_

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "stack/function_set.h"
#include "threads/thread_ref.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace updates_internal {

// True if these functions are on no stack, and no other thread can have begun
// since: this is the moment for a change. Else `obstacles` has each that is, up
// to as many as it notes. `counts_from`: what controlled threads never return
// to does not count. Allocates nothing and takes no lock.
bool IsQuiescent(
    StoppedWorld& world, absl::Span<const WatchedFunctions* const> watched,
    Obstacles& obstacles,
    StoppedWorld::CountsFrom counts_from = [](const ThreadRef&) {
      return StoppedWorld::kAllCounts;
    });

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_INTERNAL_LOOK_H_
