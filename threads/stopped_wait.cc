// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/stopped_wait.h"

#include <mutex>

#include "threads/pending_request.h"
#include "threads/thread_record.h"

namespace instar {
namespace threads_internal {

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
    record->where = &here;
    record->waits_in_library = true;
    Move(*record, ThreadState::kBlocked);
    CountAsStopped(*record);
  }
  wait();
  std::unique_lock<std::mutex> lock(record->lock);
  // Not before: while it is held here, too, it cannot be rebooted.
  WaitWhileHeld(*record, lock, &here, ResumeState(*record));
  record->waits_in_library = false;
}

}  // namespace threads_internal
}  // namespace instar
