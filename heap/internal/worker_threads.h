// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that exist before they are needed: while a program is stopped, none
// can be started safely. Internal to heap/.
//
// Threads: one thread at a time calls Run().

#ifndef INSTAR_HEAP_INTERNAL_WORKER_THREADS_H_
#define INSTAR_HEAP_INTERNAL_WORKER_THREADS_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/at_fork.h"
#include "base/linux/own_thread.h"

namespace instar {
namespace heap_internal {

class WorkerThreads {
 public:
  // ResourceExhausted if the system does not give so many threads.
  static absl::StatusOr<std::unique_ptr<WorkerThreads>> Start(int count) {
    std::unique_ptr<WorkerThreads> workers(new WorkerThreads);
    for (int i = 0; i < count; ++i) {
      absl::StatusOr<std::thread> thread =
          StartOwnThread("instar-convert", [w = workers.get()] { w->Loop(); });
      if (!thread.ok()) return thread.status();
      workers->threads_.push_back(*std::move(thread));
    }
    return workers;
  }
  ~WorkerThreads() {
    if (AreOfParent()) {
      // What waits for them would wait for ever.
      ::new (static_cast<void*>(&wake_)) std::condition_variable;
      ::new (static_cast<void*>(&done_)) std::condition_variable;
      for (std::thread& thread : threads_) {
        ::new (static_cast<void*>(&thread)) std::thread;
      }
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      end_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Runs `work` in every thread; returns when all are through. One that `work`
  // ends, by pthread_exit(), is through for good. In a child of fork(), where
  // there are none, it is run in the calling thread.
  void Run(const std::function<void()>* work) {
    if (AreOfParent()) {
      (*work)();
      return;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = work;
    ++round_;
    running_ = threads_.size() - ended_;
    wake_.notify_all();
    done_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  WorkerThreads() = default;

  bool AreOfParent() const { return process_ != ForkGeneration(); }

  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    std::size_t seen = 0;
    while (true) {
      wake_.wait(lock, [&] { return end_ || round_ != seen; });
      if (end_) return;
      seen = round_;
      const std::function<void()>* work = work_;
      lock.unlock();
      struct Ender {
        ~Ender() {
          lock.lock();
          if (ends) ++self->ended_;
          if (--self->running_ == 0) self->done_.notify_all();
        }
        WorkerThreads* self;
        std::unique_lock<std::mutex>& lock;
        bool ends = true;
      } ender{this, lock};
      (*work)();
      ender.ends = false;
    }
  }

  const std::uint32_t process_ = ForkGeneration();
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void()>* work_ = nullptr;
  std::size_t round_ = 0, running_ = 0, ended_ = 0;
  bool end_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_WORKER_THREADS_H_
