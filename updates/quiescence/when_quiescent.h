// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Changes something at a moment when given functions are on no stack.
//
//   INSTAR_ASSIGN_OR_RETURN(const WatchedFunctions watched,
//                           WatchedFunctions::Make({f, g}));
//   Attempt attempt = WhenQuiescent(
//       watched, Stacks::kAllThreads, [&](OtherThreads others) {
//         return redirection.Apply(others);
//       });
//   // not yet: "thread 'worker' (4711): active: shop::Price(int) at pc ..."
//
// updates/quiescence/stopped_world.h says which stacks those are, who is
// stopped meanwhile and what is in the way of that. The answer is "not yet",
// with nothing changed, if a function is active (its name, depth and thread are
// named), if a stack could not be walked, or if a thread was not stopped. It is
// "failed" if the change failed, or if threads could not be stopped for another
// reason than the time.
//
// The change must allocate nothing, take no lock and not throw: a stopped
// thread may own any lock of the program. Redirection::Apply() and Undo() obey
// that: who holds their lock cannot be stopped. An error that it makes by
// ErrorWithText() (base/error_text.h) gets its text afterwards.
//
// Threads, memory ordering: as of a StoppedWorld.

#ifndef INSTAR_UPDATES_QUIESCENCE_WHEN_QUIESCENT_H_
#define INSTAR_UPDATES_QUIESCENCE_WHEN_QUIESCENT_H_

#include <chrono>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "code/internal/other_threads.h"
#include "stack/function_set.h"
#include "threads/attempt.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {

// For how long threads are waited for, unless something else is said: to come
// to a rendezvous, and to stop. It is also what one attempt costs those that
// have come, or have stopped.
inline constexpr std::chrono::milliseconds kRendezvousLimit(50);
inline constexpr std::chrono::milliseconds kStopLimit(100);

// What an attempt cost.
struct QuiescenceReport {
  // For how long others were stopped, or were waited for while some were.
  std::chrono::nanoseconds stopped{0};
  // Whether a longer limit may help.
  bool was_too_short = false;
};

// Calls `change` if the functions are quiescent. With kAllThreads it is found
// out first, with nobody stopped, which threads block all signals: some 14 ms
// for those that are new. OtherThreads::kHeld is passed if all threads of the
// process are stopped, and no timer can start another.
Attempt WhenQuiescent(
    const WatchedFunctions& watched, Stacks stacks,
    absl::FunctionRef<absl::Status(OtherThreads others)> change,
    std::optional<std::chrono::nanoseconds> limit = std::nullopt,
    QuiescenceReport* report = nullptr);

}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_WHEN_QUIESCENT_H_
