// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A controlled thread that comes to update points all the time.
//
//   Looping worker("worker");
//   Looping caller("caller", [] { Price(3); });       // before each point
//   ...
//   worker.AwaitRounds();                             // it has gone on since
//
// Its end is that of the scope, or Stop(); of a thread that is rebooted the end
// of its new function.
//
// Threads: all members by any thread but its own; Stop() by one.

#ifndef INSTAR_THREADS_TESTING_LOOPING_H_
#define INSTAR_THREADS_TESTING_LOOPING_H_

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "threads/controlled_thread.h"
#include "threads/thread_ref.h"
#include "threads/update_point.h"

namespace instar {

class Looping {
 public:
  explicit Looping(
      std::string name, std::function<void()> each = [] {},
      ThreadKind kind = ThreadKind::kPassive)
      : thread_(StartThread(std::move(name), kind, [this, each] {
          while (!stop_) {
            each();
            UpdatePoint();
            ++rounds_;
          }
        })) {}
  ~Looping() { Stop(); }
  Looping(const Looping&) = delete;
  Looping& operator=(const Looping&) = delete;

  void Stop() {
    stop_ = true;
    thread_.Join();
  }
  // Until it has gone round once, and again if it is on its way.
  void AwaitRounds() const {
    const long before = rounds_;
    while (rounds_ < before + 2) std::this_thread::yield();
  }
  long rounds() const { return rounds_; }

  ThreadRef ref() const { return thread_.ref(); }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<long> rounds_{0};
  ControlledThread thread_;
};

}  // namespace instar

#endif  // INSTAR_THREADS_TESTING_LOOPING_H_
