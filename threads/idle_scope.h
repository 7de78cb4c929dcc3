// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Waits inside of somebody else's library, which calls the program back.
//
//   while (!io.stopped()) {
//     instar::IdleScope idle("between requests");
//     io.run_one();  // waits, and calls handlers
//   }
//
//   void OnRequest(...) {        // such a handler
//     instar::BusyScope busy;    // held here, if there is an update
//     Handle(request);
//   }
//
// No Blocking() (threads/blocking_region.h) can be put around such a wait: it
// lies in the library, between the handlers. An IdleScope says that the thread
// counts as stopped from its construction to its end, but for the BusyScopes
// within it. So an idle thread is neither waited for nor interrupted by a
// signal. For Boost.Asio, threads/asio_executor.h puts the BusyScope around
// each handler.
//
// What runs in an IdleScope outside of any BusyScope must not call functions
// that can be updated nor touch objects that can be converted: an update may be
// applied meanwhile. Stacks are walked from the function that has the
// IdleScope; the frames between it and a handler are taken for the library's.
//
// The name is that of a point, as in Blocking("between requests", ...): an
// update that asks for points of a name finds the thread stopped only in
// regions of that name.
//
// Neither is an update point. Update functions, and a reboot that was begun
// while the thread was idle, wait for the thread's next UpdatePoint(): put one
// after the IdleScope. Handlers that are due run before it. A reboot gets the
// thread out of its wait by `wake`; without one it waits until the library
// comes back by itself, and says so.
//
// Threads: each scope is of the thread that constructs it, and ends there.
// Scopes nest: a BusyScope outside of any IdleScope does nothing, nor does an
// IdleScope where Blocking() would do nothing. Costs two locks of a mutex that
// nobody else wants, about 40 ns, for an IdleScope and for a BusyScope.

#ifndef INSTAR_THREADS_IDLE_SCOPE_H_
#define INSTAR_THREADS_IDLE_SCOPE_H_

#include <functional>
#include <utility>

#include "absl/strings/string_view.h"
#include "threads/blocking_region.h"

namespace instar {

class IdleScope {
 public:
  // `point` is looked at until the scope ends. `wake` makes the library return
  // to the function that has the scope (`[&] { asio::post(io, [] {}); }`): it
  // is called by another thread, once a millisecond until that has happened,
  // throws nothing and takes no lock that is held around a BusyScope.
  //
  // Inlined, so that the region is one of the function that has the scope.
  [[gnu::always_inline]] explicit IdleScope(absl::string_view point = "",
                                            std::function<void()> wake = {})
      : wake_(std::move(wake)),
        region_(wake_ ? threads_internal::Wakeup{&Wake, &wake_}
                      : threads_internal::Wakeup(),
                point) {
    Link();
  }
  // Waits while the thread is held.
  ~IdleScope();
  IdleScope(const IdleScope&) = delete;
  IdleScope& operator=(const IdleScope&) = delete;

 private:
  friend class BusyScope;
  static bool Wake(const threads_internal::ThreadRecord& record, void* wake);
  void Link();

  std::function<void()> wake_;
  threads_internal::BlockingRegion region_;
  IdleScope* outer_ = nullptr;
  bool is_linked_ = false;
};

class BusyScope {
 public:
  // Waits while the thread is held.
  BusyScope();
  ~BusyScope();
  BusyScope(const BusyScope&) = delete;
  BusyScope& operator=(const BusyScope&) = delete;

 private:
  IdleScope* idle_ = nullptr;  // that this one interrupts
};

}  // namespace instar

#endif  // INSTAR_THREADS_IDLE_SCOPE_H_
