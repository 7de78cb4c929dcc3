// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/internal/background_sweep.h"

#include <atomic>
#include <mutex>
#include <new>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/linux/own_thread.h"
#include "base/status_macros.h"
#include "heap/internal/slab.h"
#include "heap/internal/version_record.h"

namespace instar {
namespace heap_internal {

BackgroundSweep::BackgroundSweep(UpdatableClass* root, std::size_t portion)
    : root_(root), portion_(portion) {
  INSTAR_CHECK(portion > 0);
}

void BackgroundSweep::ForgetParent() const {
  std::lock_guard<ForkMutex> lock(forgetting_);
  if (process_ == ForkGeneration()) return;
  process_ = ForkGeneration();
  // Neither the sweep nor those who wait for it are here.
  ::new (static_cast<void*>(&mutex_)) std::mutex;
  ::new (static_cast<void*>(&changed_)) std::condition_variable;
  ::new (static_cast<void*>(&thread_)) std::thread;
  in_portion_ = false;
  paused_ = false;
  if (state_ == State::kSweeping) state_ = State::kIdle;
}

absl::Status BackgroundSweep::Prepare() {
  ForgetParent();
  if (thread_.joinable()) return absl::OkStatus();
  INSTAR_ASSIGN_OR_RETURN(thread_,
                          StartOwnThread("instar-sweep", [this] { Loop(); }));
  return absl::OkStatus();
}

BackgroundSweep::~BackgroundSweep() {
  ForgetParent();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    state_ = State::kEnd;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BackgroundSweep::Start() {
  ForgetParent();
  if (!thread_.joinable()) {
    // In a child that has it prepared by its parent. If there is no thread,
    // objects are converted when they are used.
    INSTAR_CHECK(process_ != 0) << "Prepare() comes first";
    if (!Prepare().ok()) return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    INSTAR_CHECK(state_ == State::kIdle) << "a sweep is under way";
    arena_ = root_->first_arena();
    slab_ = arena_ == nullptr ? nullptr : arena_->first_slab();
    index_ = 0;
    state_ = State::kSweeping;
  }
  changed_.notify_all();
}

void BackgroundSweep::WaitForPortion(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return !in_portion_; });
}

void BackgroundSweep::Stop() {
  ForgetParent();
  {
    std::unique_lock<std::mutex> lock(mutex_);
    state_ = State::kIdle;
    WaitForPortion(lock);
  }
  changed_.notify_all();
}

void BackgroundSweep::Pause() {
  ForgetParent();
  std::unique_lock<std::mutex> lock(mutex_);
  paused_ = true;
  WaitForPortion(lock);
}

bool BackgroundSweep::TryPause(std::chrono::steady_clock::time_point until) {
  ForgetParent();
  std::unique_lock<std::mutex> lock(mutex_);
  paused_ = true;
  if (changed_.wait_until(lock, until, [this] { return !in_portion_; })) {
    return true;
  }
  paused_ = false;
  return false;
}

void BackgroundSweep::Resume() {
  ForgetParent();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    paused_ = false;
  }
  changed_.notify_all();
}

bool BackgroundSweep::Done() const {
  ForgetParent();
  std::lock_guard<std::mutex> lock(mutex_);
  return state_ == State::kIdle && !in_portion_;
}

void BackgroundSweep::WaitUntilDone() {
  ForgetParent();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock,
                [this] { return state_ != State::kSweeping && !in_portion_; });
}

void BackgroundSweep::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] {
      return state_ == State::kEnd || (state_ == State::kSweeping && !paused_);
    });
    if (state_ == State::kEnd) return;
    in_portion_ = true;
    lock.unlock();
    const bool more = SweepPortion();
    std::this_thread::yield();
    lock.lock();
    in_portion_ = false;
    if (!more && state_ == State::kSweeping) state_ = State::kIdle;
    changed_.notify_all();
  }
}

bool BackgroundSweep::SweepPortion() {
  // A slot's mark is read before its object is touched, and the object only
  // once it is this thread's (BringUpToDate()): it cannot be destroyed then,
  // nor can the slot have got another object, whose epoch would be another.
  const Mark now = root_->epoch_bits();
  for (std::size_t left = portion_; left > 0;) {
    while (slab_ == nullptr) {
      if (arena_ == nullptr) return false;
      arena_ = arena_->next_in_class;
      if (arena_ != nullptr) slab_ = arena_->first_slab();
      index_ = 0;
    }
    if (index_ == slab_->slot_count) {
      slab_ = slab_->next_in_class;
      index_ = 0;
      continue;
    }
    std::atomic<Mark>& mark = slab_->marks()[index_];
    // Relaxed: the compare and swap that takes the object acquires, and fails
    // if the mark is another one by then.
    const Mark seen = mark.load(std::memory_order_relaxed);
    if (seen != kNoObject && (seen & kEpochMask) != now && !(seen & kBusy)) {
      // A failure is marked in the object, and counted from there.
      absl::Status status;
      ConvertIfUnchanged(root_, slab_->slot(index_),
                         {&mark, slab_->slot_bytes, false}, seen,
                         /*retry=*/false, status);
    }
    ++index_;
    --left;
  }
  return true;
}

}  // namespace heap_internal
}  // namespace instar
