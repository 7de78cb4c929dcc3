// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where code of a test waits until it may go on.
//
//   Gate gate;
//   script->requirements = [waiter = gate.Waiter()] { return waiter(), kDone; };
//   ...
//   gate.AwaitVisitor();                              // it has come there
//   gate.Open();                                      // for good
//
// Copies are the same gate. Threads: any.

#ifndef INSTAR_BASE_TESTING_GATE_H_
#define INSTAR_BASE_TESTING_GATE_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

namespace instar {

class Gate {
 public:
  // Passes it. May be called when the gate itself is gone, if it was opened.
  std::function<void()> Waiter() {
    return [state = state_] {
      std::unique_lock<std::mutex> lock(state->lock);
      state->is_inside = true;
      state->changed.notify_all();
      state->changed.wait(lock, [&] { return state->is_open; });
    };
  }
  void AwaitVisitor() const {
    std::unique_lock<std::mutex> lock(state_->lock);
    state_->changed.wait(lock, [this] { return state_->is_inside; });
  }
  bool has_visitor() const {
    const std::lock_guard<std::mutex> lock(state_->lock);
    return state_->is_inside;
  }
  void Open() {
    const std::lock_guard<std::mutex> lock(state_->lock);
    state_->is_open = true;
    state_->changed.notify_all();
  }

 private:
  struct State {
    std::mutex lock;
    std::condition_variable changed;
    bool is_inside = false, is_open = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_GATE_H_
