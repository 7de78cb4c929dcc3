// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a controlled thread may start an update or be held.
//
//   while (true) {
//     Request request = Receive();
//     instar::UpdatePoint();  // start_passive_update() of the paper
//     Handle(request);
//     instar::UpdatePoint("between requests");
//   }
//
//   {
//     instar::NoUpdateScope no_update;  // from here no update, please
//     Transfer(from, to);
//   }
//
// Threads: any.

#ifndef INSTAR_THREADS_UPDATE_POINT_H_
#define INSTAR_THREADS_UPDATE_POINT_H_

#include <atomic>

#include "absl/strings/string_view.h"
#include "threads/internal/thread_record.h"

namespace instar {

namespace threads_internal {
void UpdatePointSlow(absl::string_view name);
}  // namespace threads_internal

// With nothing pending for this thread, it is one relaxed load of a word of its
// own. Otherwise the thread may wait here, run an update function
// (threads/update_request.h), or be rebooted: an exception then comes out, so
// it must not be called where none may pass. From a function that is noexcept
// no reboot starts; all else goes on there.
//
// It does nothing
//   - in a thread that is not controlled,
//   - within another update point, that is, in an update function,
//   - in a signal handler, as far as the stack can be walked,
//   - in the callable of a blocking region,
//   - while a NoUpdateScope is alive on the thread.
inline void UpdatePoint() {
  if (__builtin_expect(threads_internal::this_thread.attention.load(
                           std::memory_order_relaxed) != 0,
                       0)) {
    threads_internal::UpdatePointSlow("");
  }
}

// The same. An update can ask for points of this name only. It must not be
// empty, and is looked at during the call.
inline void UpdatePoint(absl::string_view name) {
  if (__builtin_expect(threads_internal::this_thread.attention.load(
                           std::memory_order_relaxed) != 0,
                       0)) {
    threads_internal::UpdatePointSlow(name);
  }
}

// No update point has any effect on this thread while one is alive. They nest.
// The thread is not held by any means: a rendezvous waits for the scope's end,
// also if the thread waits in a blocking region meanwhile.
class NoUpdateScope {
 public:
  NoUpdateScope() { Add(1); }
  ~NoUpdateScope() { Add(~std::uint32_t{0}); }
  NoUpdateScope(const NoUpdateScope&) = delete;
  NoUpdateScope& operator=(const NoUpdateScope&) = delete;

 private:
  // Only this thread writes it.
  static void Add(std::uint32_t step) {
    auto& depth = threads_internal::this_thread.no_update_depth;
    depth.store(depth.load(std::memory_order_relaxed) + step,
                std::memory_order_relaxed);
  }
};

}  // namespace instar

#endif  // INSTAR_THREADS_UPDATE_POINT_H_
