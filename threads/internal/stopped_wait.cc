// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/stopped_wait.h"

#include <mutex>

#include "threads/internal/pending_request.h"
#include "threads/internal/thread_record.h"

namespace instar {
namespace threads_internal {

bool CanWaitAsStopped() {
  const PerThread& mine = this_thread;
  if (mine.busy.load(std::memory_order_relaxed) ||
      mine.no_update_depth.load(std::memory_order_relaxed) != 0) {
    return false;
  }
  if (mine.record == nullptr) return true;
  const ThreadState state = mine.record->state.load(std::memory_order_relaxed);
  return state == ThreadState::kRunning || state == ThreadState::kRebooting;
}

void WaitAsStopped(StackSnapshot here, absl::FunctionRef<void()> wait) {
  ThreadRecord* const record = this_thread.record;
  if (record == nullptr ||
      !IsMove(record->state.load(std::memory_order_relaxed),
              ThreadState::kBlocked)) {
    wait();
    return;
  }
  const Busy busy;
  const auto switchers = LinkAllSwitchers(&here);
  {
    std::lock_guard<std::mutex> lock(record->lock);
    record->waits_in_library = true;
    Move(*record, ThreadState::kBlocked);
    CountAsStoppedAt(*record, &here, "");
  }
  wait();
  std::unique_lock<std::mutex> lock(record->lock);
  // Not before: while it is held here, too, it cannot be rebooted.
  WaitWhileHeld(*record, lock, &here, "");
  Move(*record, ResumeState(*record));
  record->waits_in_library = false;
}

}  // namespace threads_internal
}  // namespace instar
