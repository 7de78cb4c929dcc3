// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that call something all the time.
//
//   std::atomic<long> wrong{0};
//   Hammer hammer(3, [&] { wrong += Answer(1) % 100 != 1; });
//   ... change Answer(), with calls of it all around ...
//   hammer.Stop();
//   EXPECT_EQ(wrong, 0);
//
// Threads: all members by any thread but its own; Stop() by one.

#ifndef INSTAR_BASE_TESTING_HAMMER_H_
#define INSTAR_BASE_TESTING_HAMMER_H_

#include <pthread.h>

#include <atomic>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace instar {

class Hammer {
 public:
  // Returns when each thread has made a call.
  Hammer(int threads, std::function<void()> call) : call_(std::move(call)) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this] {
        call_();
        ++begun_;
        while (!stop_.load(std::memory_order_relaxed)) {
          call_();
          calls_.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    while (begun_ < threads) std::this_thread::yield();
  }
  ~Hammer() { Stop(); }
  Hammer(const Hammer&) = delete;
  Hammer& operator=(const Hammer&) = delete;

  // Ends the threads. Does nothing the second time.
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  // Of the threads, until Stop(): to send them signals.
  std::vector<pthread_t> handles() {
    std::vector<pthread_t> handles;
    for (std::thread& thread : threads_) {
      handles.push_back(thread.native_handle());
    }
    return handles;
  }
  // Since all have begun, those of all together.
  long calls() const { return calls_; }
  // Until as many have been made from now on.
  void AwaitCalls(long more) const {
    const long until = calls_ + more;
    while (calls_ < until) std::this_thread::yield();
  }

 private:
  const std::function<void()> call_;
  std::atomic<bool> stop_{false};
  std::atomic<int> begun_{0};
  std::atomic<long> calls_{0};
  std::vector<std::thread> threads_;
};

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_HAMMER_H_
