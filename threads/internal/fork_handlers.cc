// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/fork_handlers.h"

#include <unistd.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "base/at_fork.h"
#include "threads/internal/request_worker.h"
#include "threads/internal/thread_record.h"

namespace instar {
namespace threads_internal {

void FinishInChild(PendingRequest& request) {
  using Phase = PendingRequest::Phase;
  MakeAnew(request.lock);
  MakeAnew(request.finished);
  MakeAnew(request.reason);
  const bool is_own_affair =
      request.thread.get() == this_thread.record &&
      (request.phase == Phase::kTrying || request.phase == Phase::kRebooting);
  if (is_own_affair || request.phase == Phase::kSet ||
      request.phase == Phase::kFinished) {
    return;
  }
  MakeAnew(request.result);
  request.FinishLocked(
      absl::CancelledError("it was asked for before this process was forked"));
}

// Only the locks of the registry, the calling thread and the request worker are
// taken before fork().
class ForkHandling {
 public:
  static void Prepare() {
    // Whoever holds threads must not keep this one, which owns locks now.
    // Fences as of Busy.
    was_busy_ = this_thread.busy.exchange(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    owns_entries_ = RequestWorker::Get().TryLockEntriesForFork();
    Registry::Get().lock_.lock();
    if (this_thread.record != nullptr) this_thread.record->lock.lock();
    RequestWorker::Get().LockForFork();
  }

  static void Unlock() {
    RequestWorker::Get().UnlockAfterFork(owns_entries_);
    if (this_thread.record != nullptr) this_thread.record->lock.unlock();
    Registry::Get().lock_.unlock();
    std::atomic_signal_fence(std::memory_order_seq_cst);
    this_thread.busy.store(was_busy_, std::memory_order_relaxed);
  }

  static void InChild() {
    RequestWorker::Get().ForgetAllInChild(owns_entries_);
    KeepCallingThread();
    missing_threads.store(0, std::memory_order_relaxed);  // nobody reads it
    Unlock();
  }

 private:
  static void KeepCallingThread() {
    Registry& registry = Registry::Get();
    ThreadRecord* const mine = this_thread.record;
    std::shared_ptr<ThreadRecord> kept;
    for (auto& record : registry.threads_) {
      if (record.get() == mine) {
        kept = record;
      } else {
        CountAsLost(*record);
      }
    }
    // The child has their owners' handles, too. Nothing is destroyed here: that
    // would destroy what their functions own.
    MakeAnew(registry.threads_);
    MakeAnew(registry.held_new_);
    registry.hold_new_ = false;
    registry.hold_point_ = nullptr;
    if (kept == nullptr) return;
    registry.threads_.push_back(std::move(kept));
    mine->tid.store(gettid(), std::memory_order_relaxed);
    LetGo(*mine);
    for (const auto& request : mine->requests) FinishInChild(*request);
    if (mine->rebooting != nullptr) FinishInChild(*mine->rebooting);
    UpdateAttention(*mine);
  }

  static void CountAsLost(ThreadRecord& record) {
    MakeAnew(record.lock);
    MakeAnew(record.requests);
    record.state.store(ThreadState::kEnded, std::memory_order_relaxed);
    record.per_thread = nullptr;
    record.exposed_values = nullptr;
    record.where = nullptr;
    record.hold = false;
    record.missing = false;
    record.lost_in_fork = true;
  }

  // Between Prepare() and Unlock(), of which there is one at a time.
  static bool was_busy_;
  static bool owns_entries_;
};

bool ForkHandling::was_busy_ = false;
bool ForkHandling::owns_entries_ = false;

void RegisterForkHandlers() {
  RequestWorker::Get();  // so that no fork() comes in the middle of their
                         // making
  Registry::Get();
  SetForkHandlers(
      ForkOrder::kThreads,
      {&ForkHandling::Prepare, &ForkHandling::Unlock, &ForkHandling::InChild});
}

}  // namespace threads_internal
}  // namespace instar
