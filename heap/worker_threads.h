// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that exist before they are needed: while a program is stopped, none
// can be started safely. Internal to heap/.
//
// Threads: one thread at a time calls Run().

#ifndef INSTAR_HEAP_WORKER_THREADS_H_
#define INSTAR_HEAP_WORKER_THREADS_H_

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace instar {
namespace heap_internal {

class WorkerThreads {
 public:
  explicit WorkerThreads(int count) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this] { Loop(); });
    }
  }
  ~WorkerThreads() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      end_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Runs `work` in every thread; returns when all are through.
  void Run(const std::function<void()>* work) {
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = work;
    ++round_;
    running_ = threads_.size();
    wake_.notify_all();
    done_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    std::size_t seen = 0;
    while (true) {
      wake_.wait(lock, [&] { return end_ || round_ != seen; });
      if (end_) return;
      seen = round_;
      const std::function<void()>* work = work_;
      lock.unlock();
      (*work)();
      lock.lock();
      if (--running_ == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void()>* work_ = nullptr;
  std::size_t round_ = 0, running_ = 0;
  bool end_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_WORKER_THREADS_H_
