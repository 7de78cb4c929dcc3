// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Stacks of fibers that are not this library's: of ucontext, Boost.Context,
// Boost.Fiber, folly, or a scheduler of the program's own. What runs on them is
// invisible to who looks for functions on stacks, so the program declares them:
//
//   instar::ForeignStacks fibers([&](instar::ForeignStacks::Yield yield) {
//     std::unique_lock<std::mutex> lock(scheduler.mutex, std::try_to_lock);
//     if (!lock.owns_lock()) return false;        // cannot tell: not yet
//     for (const Fiber& fiber : scheduler.fibers) {
//       yield({fiber.is_running
//                  ? instar::RunningStack(fiber.low, fiber.high)
//                  : instar::PausedUcontext(fiber.context),
//              fiber.name});
//     }
//     return true;
//   });
//
// It yields every stack of the scheduler: of each paused fiber, with the
// registers from which it goes on; of each running one, only where it lies; and
// the stacks of threads that wait in the scheduler while one of their fibers
// runs, as paused.
//
// What that gives: functions that are active on paused fibers count wherever
// stacks are looked at (redefinition, conversion, redirection), and update
// points may be called on fibers. An update point on a stack that nobody
// declared does nothing, and what waits for it says so.
//
// What it does not give: continulets that are started on a fiber belong to its
// thread, so such a fiber may not go on on another thread while they are
// paused. A thread that runs a fiber is not rebooted, since nothing can be
// unwound out of it. C++20 coroutines have no stack, and are not counted: while
// one is suspended, its function is active and nobody sees it.
//
// The visitor is called at any time, also while other threads are stopped: it
// waits for no lock that one of them may own (try_lock), allocates nothing, and
// switches nowhere. It must have returned everywhere before ~ForeignStacks()
// does.
//
// Contexts of ucontext are understood here, those of Boost.Context in
// continuation/internal/boost_fcontext.h; for others, fill in a PausedContext.
//
// Threads: any. At most 64 are declared at a time.

#ifndef INSTAR_CONTINUATION_FOREIGN_STACKS_H_
#define INSTAR_CONTINUATION_FOREIGN_STACKS_H_

#include <ucontext.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "continuation/paused_context.h"

namespace instar {

struct ForeignStack {
  PausedContext context;  // with pc 0: it runs
  absl::string_view name = {};
};

class ForeignStacks {
 public:
  using Yield = absl::FunctionRef<void(const ForeignStack&)>;
  // False if it cannot tell now.
  using Visitor = std::function<bool(Yield)>;

  explicit ForeignStacks(Visitor visitor);
  ~ForeignStacks();
  ForeignStacks(const ForeignStacks&) = delete;
  ForeignStacks& operator=(const ForeignStacks&) = delete;

 private:
  const std::unique_ptr<Visitor> visitor_;
};

// A stack that runs now; it lies in [low, high).
PausedContext RunningStack(std::uintptr_t low, std::uintptr_t high);

// Of a context that getcontext() or swapcontext() has saved.
PausedContext PausedUcontext(const ucontext_t& context);

namespace continuation_internal {

// Calls `visit` for every paused stack that is declared; for one that nobody
// can walk if a visitor cannot tell.
void VisitForeignStacks(absl::FunctionRef<void(const ForeignStack&)> visit);

// The declared stack that `address` lies in.
struct ForeignBounds {
  std::uintptr_t low;
  std::uintptr_t high;
};
std::optional<ForeignBounds> FindForeignStack(std::uintptr_t address);

}  // namespace continuation_internal
}  // namespace instar

#endif  // INSTAR_CONTINUATION_FOREIGN_STACKS_H_
