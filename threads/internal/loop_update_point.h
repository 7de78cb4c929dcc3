// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What loops call that have update points. The compiler puts the calls there
// (tools/loop_update_points, which knows these names), nobody writes them:
//
//   if (instar_loop_attention != 0) EarlyLoopPoint();
//
// For an active thread it is what the entry of an updatable function is; for
// others it does nothing. Where GCC has put which: docs/loop_update_points.md.
//
// Threads: any. Signals: as UpdatePoint().

#ifndef INSTAR_THREADS_INTERNAL_LOOP_UPDATE_POINT_H_
#define INSTAR_THREADS_INTERNAL_LOOP_UPDATE_POINT_H_

namespace instar {
namespace threads_internal {

// The compiler knows that it may change memory, and throw: it allows a reboot.
void EarlyLoopPoint();
// It knows that it may change memory: PointAllows::kMemory.
void InlineLoopPoint() noexcept;
// It knows neither: PointAllows::kHold.
void LateLoopPoint() noexcept;

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_LOOP_UPDATE_POINT_H_
