// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/thread_record.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/linux/futex.h"
#include "threads/internal/linker_lock.h"
#include "threads/known_names.h"

namespace instar {
namespace threads_internal {

__thread PerThread this_thread = {};

std::atomic<MoveObserver> move_observer_for_test{nullptr};
std::atomic<std::uint32_t> missing_threads{0};
std::atomic<std::uint32_t> hold_epoch{0};

void Move(ThreadRecord& record, ThreadState to) {
  const ThreadState from = record.state.load(std::memory_order_relaxed);
  INSTAR_CHECK(IsMove(from, to))
      << "thread '" << record.name << "' cannot move from " << ToString(from)
      << " to " << ToString(to);
  const MoveObserver observer =
      move_observer_for_test.load(std::memory_order_acquire);
  if (observer != nullptr) observer(record, from, to);
  record.state.store(to, std::memory_order_relaxed);
}

ThreadState ResumeState(const ThreadRecord& record) {
  if (record.in_update_function) return ThreadState::kInUpdateFunction;
  return record.new_main ? ThreadState::kRebooting : ThreadState::kRunning;
}

namespace {

void SetBit(std::atomic<std::uint32_t>& word, std::uint32_t bit, bool on) {
  if (on) {
    word.fetch_or(bit, std::memory_order_relaxed);
  } else {
    word.fetch_and(~bit, std::memory_order_relaxed);
  }
}

}  // namespace

void SetAttention(ThreadRecord& record, Attention bit, bool on,
                  bool at_entries) {
  if (record.per_thread == nullptr) return;
  SetBit(record.per_thread->attention, bit, on);
  SetBit(record.per_thread->entry_attention, bit, at_entries);
}

bool IsHeldAt(const ThreadRecord& record, const StackSnapshot* where,
              absl::string_view point) {
  if (!record.hold) return false;
  if (where == nullptr) return true;
  // In an update function it is at a point for nobody else.
  if (record.allows < record.hold_needs && !record.in_update_function) {
    return false;
  }
  return (record.hold_point == nullptr || point == record.hold_point) &&
         !MayOwnLinkerLock(*where);
}

bool Hold(ThreadRecord& record, const char* point, PointAllows needs) {
  record.hold = true;
  record.hold_point = point;
  record.hold_needs = needs;
  if (record.per_thread != nullptr) {
    record.per_thread->hold_needs.store(needs, std::memory_order_relaxed);
  }
  SetAttention(record, kAttentionHold, true, point == nullptr);
  record.missing = !IsStopped(record.state.load(std::memory_order_relaxed)) ||
                   !IsHeldAt(record, record.where, record.stopped_at);
  return !record.missing;
}

void LetGo(ThreadRecord& record) {
  record.hold = false;
  record.missing = false;
  record.hold_point = nullptr;
  SetAttention(record, kAttentionHold, false);
}

std::int64_t NowForStamp() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void EndHold() {
  // Release, paired with the acquire load in WaitWhileHeld(): what was changed
  // at the rendezvous is seen by those that it held.
  hold_epoch.fetch_add(1, std::memory_order_release);
  FutexWakeAll(&hold_epoch);
}

void CountAsStopped(ThreadRecord& record) {
  if (!record.missing) return;
  record.missing = false;
  // Release, paired with the rendezvous' acquire load of zero: it reads this
  // thread's stack.
  if (missing_threads.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    FutexWakeAll(&missing_threads);
  }
}

void CountAsStoppedAt(ThreadRecord& record, const StackSnapshot* where,
                      absl::string_view point) {
  record.where = where;
  record.stopped_at = point;
  if (IsHeldAt(record, where, point)) CountAsStopped(record);
}

void WaitWhileHeld(ThreadRecord& record, std::unique_lock<std::mutex>& lock,
                   const StackSnapshot* where, absl::string_view point) {
  while (IsHeldAt(record, where, point)) {
    if (record.state.load(std::memory_order_relaxed) != ThreadState::kHeld) {
      Move(record, ThreadState::kHeld);
    }
    record.where = where;
    record.stopped_at = point;
    CountAsStopped(record);
    // Read while `hold` is set: EndHold() of this very rendezvous comes later.
    const std::uint32_t epoch = hold_epoch.load(std::memory_order_relaxed);
    const std::shared_ptr<HoldStamp> stamp = record.stamp;
    lock.unlock();
    if (stamp != nullptr) {
      stamp->begin.store(NowForStamp(), std::memory_order_relaxed);
    }
    while (hold_epoch.load(std::memory_order_acquire) == epoch) {
      FutexWait(&hold_epoch, epoch);
    }
    if (stamp != nullptr) {
      stamp->end.store(NowForStamp(), std::memory_order_relaxed);
    }
    lock.lock();
  }
  record.where = nullptr;
  record.stopped_at = absl::string_view();
}

Registry& Registry::Get() {
  static Registry* const registry = new Registry;  // threads may outlive main()
  return *registry;
}

void Registry::Add(std::shared_ptr<ThreadRecord> record) {
  const Busy busy;
  NoteThread(record->name);
  std::lock_guard<std::mutex> lock(lock_);
  if (hold_new_) {
    std::lock_guard<std::mutex> record_lock(record->lock);
    Hold(*record, hold_point_);
    held_new_.push_back(record);
  }
  threads_.push_back(std::move(record));
}

void Registry::Remove(const ThreadRecord* record) {
  const Busy busy;
  std::lock_guard<std::mutex> lock(lock_);
  threads_.erase(std::find_if(
      threads_.begin(), threads_.end(),
      [record](const auto& thread) { return thread.get() == record; }));
}

std::vector<std::shared_ptr<ThreadRecord>> Registry::All() const {
  const Busy busy;
  std::lock_guard<std::mutex> lock(lock_);
  return threads_;
}

bool Registry::IsFree() const {
  return std::unique_lock<std::mutex>(lock_, std::try_to_lock).owns_lock();
}

void Registry::HoldAllAndNew(
    const char* point,
    absl::FunctionRef<void(const std::shared_ptr<ThreadRecord>&)> hold) {
  const Busy busy;
  std::lock_guard<std::mutex> lock(lock_);
  hold_new_ = true;
  hold_point_ = point;
  for (const auto& record : threads_) hold(record);
}

std::vector<std::shared_ptr<ThreadRecord>> Registry::StopHoldingNew() {
  const Busy busy;
  std::lock_guard<std::mutex> lock(lock_);
  hold_new_ = false;
  hold_point_ = nullptr;
  return std::exchange(held_new_, {});
}

std::vector<std::shared_ptr<ThreadRecord>> Registry::HeldNew() const {
  const Busy busy;
  std::lock_guard<std::mutex> lock(lock_);
  return held_new_;
}

}  // namespace threads_internal
}  // namespace instar
