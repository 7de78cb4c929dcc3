// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a pool of threads takes its tasks from.

#ifndef INSTAR_EXAMPLES_POOLS_TASKS_H_
#define INSTAR_EXAMPLES_POOLS_TASKS_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <queue>
#include <utility>

#include "threads/blocking_region.h"

namespace pools {

// [queue]
class Tasks {
 public:
  // The next one; empty at the end.
  std::function<void()> Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    instar::Wait(changed_, lock, [this] { return is_over_ || !all_.empty(); });
    std::function<void()> task;
    if (!is_over_) {
      task = std::move(all_.front());
      all_.pop();
    }
    return task;
  }
  // [queue]

  void Push(std::function<void()> task) {
    const std::lock_guard<std::mutex> lock(mutex_);
    all_.push(std::move(task));
    changed_.notify_one();
  }
  void SetOver(bool is_over) {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_over_ = is_over;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<std::function<void()>> all_;
  bool is_over_ = false;
};

}  // namespace pools

#endif  // INSTAR_EXAMPLES_POOLS_TASKS_H_
