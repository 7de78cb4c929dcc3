// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Makes functions quiescent that otherwise never are: while a ForcedQuiescence
// is alive, new calls of them wait at the entry, and those that run drain
// (PyMoult v2's forced quiescence).
//
//   INSTAR_ASSIGN_OR_RETURN(
//       ForcedQuiescence forced,
//       ForcedQuiescence::Begin({f, g}, watched, DeadlineAfter(limit)));
//   ... look, with pauses, until they are quiescent, and change something ...
//   // the calls go on, in the new version, when it goes
//
// A Change does that if it is told to (updates/change.h).
//
// A call passes, and does not wait,
//   - if the thread has one of the functions on a stack already: as a
//     recursion, through another function of the set, or in a continulet of its
//     own, running or paused, which could not drain if the thread waited;
//   - in the thread that began it, which would wait for itself;
//   - in an update function, in a NoUpdateScope, in the callable of a blocking
//     region, in a signal handler;
//   - if its stack cannot be walked to the base;
//   - after `until`, whatever has become of who began it.
// Passing is always safe: whether the functions are quiescent is found out on
// the stacks.
//
// What runs meanwhile: a call that waits runs nothing of the program but signal
// handlers. It waits on the thread's stack in place of the function, before
// that has begun; the whole thread waits, with all its continulets. A
// controlled thread counts as stopped then (it is "blocked",
// threads/thread_state.h), so that a rendezvous does not wait for it, and it is
// not rebooted from there. Threads that are not controlled wait as well.
//
// Deadlocks: a thread inside a function may wait for one that waits at an
// entry, because of a lock that this one holds, say. Then the function does not
// drain, and at `until` all threads go on. Nobody looks for such a circle, so
// choose the limit as the longest time for which callers may stand still.
//
// Errors: those of EntryInterception::WithGate() (code/entry_interception.h),
// before anybody waits.
//
// Threads: it may be begun on any thread, several at once; it belongs to the
// thread that began it. Memory ordering: a call that has waited sees what was
// done before the end.

#ifndef INSTAR_UPDATES_QUIESCENCE_FORCED_QUIESCENCE_H_
#define INSTAR_UPDATES_QUIESCENCE_FORCED_QUIESCENCE_H_

#include <chrono>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "code/symbols/function.h"
#include "stack/function_set.h"

namespace instar {

class ForcedQuiescence {
 public:
  using Clock = std::chrono::steady_clock;

  // Calls of `functions` wait. `watched`: what must drain, which are usually
  // those functions.
  static absl::StatusOr<ForcedQuiescence> Begin(
      absl::Span<const Function> functions, WatchedFunctions watched,
      Clock::time_point until);

  ForcedQuiescence(ForcedQuiescence&&) noexcept;
  ForcedQuiescence& operator=(ForcedQuiescence&&) = delete;
  // The calls go on.
  ~ForcedQuiescence();

  // How many calls have waited so far, or wait.
  int waited() const;

 private:
  struct State;
  explicit ForcedQuiescence(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_FORCED_QUIESCENCE_H_
