// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/loop_update_point.h"

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "stack/stack_snapshot.h"
#include "threads/internal/pending_request.h"
#include "threads/internal/thread_record.h"

namespace instar {
namespace threads_internal {
namespace {

// Whether something is asked of the calling thread that is possible here. A
// loop may come by often until it is.
bool IsWanted(PointAllows allows) {
  const PerThread& mine = this_thread;
  const std::uint32_t asked =
      mine.entry_attention.load(std::memory_order_relaxed);
  if (asked == 0 || mine.record == nullptr ||
      mine.record->kind != ThreadKind::kActive) {
    return false;
  }
  const bool holds = (asked & kAttentionHold) != 0 &&
                     mine.hold_needs.load(std::memory_order_relaxed) <= allows;
  const bool updates =
      (asked & kAttentionUpdate) != 0 && allows >= PointAllows::kMemory;
  const bool reboots =
      (asked & kAttentionReboot) != 0 && allows >= PointAllows::kReboot;
  return holds || updates || reboots;
}

void Arrive(PointAllows allows, const StackSnapshot& stack) {
  const int saved_errno = errno;
  ArriveAt(Point{Point::Kind::kLoop, "", stack, 0, allows});
  errno = saved_errno;
}

}  // namespace

void EarlyLoopPoint() {
  if (!IsWanted(PointAllows::kReboot)) return;
  Arrive(PointAllows::kReboot, SnapshotOfCaller());
}

void InlineLoopPoint() noexcept {
  if (!IsWanted(PointAllows::kMemory)) return;
  Arrive(PointAllows::kMemory, SnapshotOfCaller());
}

void LateLoopPoint() noexcept {
  if (!IsWanted(PointAllows::kHold)) return;
  Arrive(PointAllows::kHold, SnapshotOfCaller());
}

}  // namespace threads_internal
}  // namespace instar
