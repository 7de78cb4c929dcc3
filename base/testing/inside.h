// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A thread that is inside of a function until it may leave: of one that calls
// what it is given.
//
//   Inside inside([](const Inside::Stay& stay) { Depth(1000, stay); });
//   ... it is in Depth() ...
//   inside.Leave();
//
//   // A controlled thread, at update points meanwhile:
//   Inside relay([](const Inside::Stay& stay) {
//     RunControlled("relay", ThreadKind::kPassive, [&] { Relay(3, stay); });
//   }, [] { UpdatePoint(); });
//
// Threads: Leave() by one thread, which is not its own.

#ifndef INSTAR_BASE_TESTING_INSIDE_H_
#define INSTAR_BASE_TESTING_INSIDE_H_

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

namespace instar {

class Inside {
 public:
  using Stay = std::function<void()>;

  // Returns when the thread is there: `enter` has called `stay`. `meanwhile` is
  // what it does over and over then.
  explicit Inside(std::function<void(const Stay&)> enter,
                  std::function<void()> meanwhile = &std::this_thread::yield)
      : thread_(
            [this, enter = std::move(enter), meanwhile = std::move(meanwhile)] {
              enter([&] {
                is_inside_ = true;
                while (!leave_) meanwhile();
              });
            }) {
    while (!is_inside_) std::this_thread::yield();
  }
  ~Inside() { Leave(); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  // It leaves, and ends. Does nothing the second time.
  void Leave() {
    leave_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<bool> is_inside_{false};
  std::atomic<bool> leave_{false};
  std::thread thread_;
};

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_INSIDE_H_
