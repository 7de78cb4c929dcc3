// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// All that is paused by a switch, for those who look for functions on stacks: a
// function may be active on the stack of a continulet that nobody runs, or of a
// computation that waits for one.
//
// Nothing here allocates. Errors: there are none.

#ifndef INSTAR_CONTINUATION_PAUSED_COMPUTATIONS_H_
#define INSTAR_CONTINUATION_PAUSED_COMPUTATIONS_H_

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "continuation/paused_context.h"

namespace instar {

struct PausedComputation {
  PausedContext context;
  // The continulet whose body is paused, or the fiber; empty for a thread's own
  // computation.
  absl::string_view continulet;
  // The thread on which it runs, as gettid() names it; 0 for a fiber.
  int tid = 0;
};

// Calls `visit` for every computation of these threads that is paused by a
// switch: every paused continulet, and whatever waits for a continulet that it
// switched to. `is_held(tid)` is asked for each thread that has started
// continulets, and must be true only for the calling thread and for those that
// are held meanwhile by something that synchronizes with them: others may be
// changing what would be looked at. Takes a lock that is taken, too, when a
// thread starts its first continulet and when it ends. `visit` may not start or
// end continulets.
void VisitPausedComputations(
    absl::FunctionRef<bool(int tid)> is_held,
    absl::FunctionRef<void(const PausedComputation&)> visit);

// The same while other threads are held at any instruction by a signal, when
// one of them may own the lock: returns false, having done nothing, if the lock
// is taken. Only threads for which `is_settled(tid)` is true are reported; it
// is asked for each that has continulets, and must be false for a thread that
// may be in the middle of a switch. That is no thread which waits in a system
// call: a switch makes none.
bool TryVisitPausedComputations(
    absl::FunctionRef<bool(int tid)> is_settled,
    absl::FunctionRef<void(const PausedComputation&)> visit);

// The same of the calling thread alone, besides what was declared. Takes no
// lock; async-signal-safe if the visitors that were declared are.
void VisitPausedComputationsOfThisThread(
    absl::FunctionRef<void(const PausedComputation&)> visit);

// Calls `visit` for each computation that waits for the caller because it
// switched to the continulet in which the caller runs, or to one that did;
// innermost first, the thread's own computation last, until `visit` returns
// false. Async-signal-safe.
void VisitSwitchers(absl::FunctionRef<bool(const PausedContext&)> visit);

// The first of them, or nothing if the caller runs in no continulet.
// Async-signal-safe.
std::optional<PausedContext> SwitcherContext();

// The stack of the innermost continulet in which the caller runs.
struct ContinuletStack {
  std::uintptr_t low;
  std::uintptr_t high;
};

// Nothing if the caller runs in no continulet. Async-signal-safe.
std::optional<ContinuletStack> StackOfRunningContinulet();

}  // namespace instar

#endif  // INSTAR_CONTINUATION_PAUSED_COMPUTATIONS_H_
