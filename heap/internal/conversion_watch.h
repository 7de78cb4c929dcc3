// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Between a thread that converts objects and another one that watches over it:
// whether it comes on, and whether it is to stop. A Convert() that does not
// return is the one that cannot be stopped; no other one begins after it.
//
// Threads: all may be called by any thread.

#ifndef INSTAR_HEAP_INTERNAL_CONVERSION_WATCH_H_
#define INSTAR_HEAP_INTERNAL_CONVERSION_WATCH_H_

#include <atomic>

#include "absl/status/status.h"

namespace instar {

class ConversionWatch {
 public:
  // After each object, by whoever converts: whether the next one may follow.
  // Two loads, as a rule, of what nobody writes.
  bool GoesOn() {
    if (!has_come_on_.load(std::memory_order_relaxed)) {
      has_come_on_.store(true, std::memory_order_relaxed);
    }
    return !is_stopped();
  }
  // What the conversion answers then.
  static absl::Status Stopped() {
    return absl::AbortedError("it was stopped between two objects");
  }

  // By the watcher. TakeProgress(): whether an object has been converted since
  // the last call.
  bool TakeProgress() {
    return has_come_on_.exchange(false, std::memory_order_relaxed);
  }
  void Stop() { is_stopped_.store(true, std::memory_order_release); }
  bool is_stopped() const {
    return is_stopped_.load(std::memory_order_acquire);
  }

 private:
  // A hint; relaxed.
  std::atomic<bool> has_come_on_{false};
  // Stop() and is_stopped(): who is stopped sees why.
  std::atomic<bool> is_stopped_{false};
};

}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_CONVERSION_WATCH_H_
