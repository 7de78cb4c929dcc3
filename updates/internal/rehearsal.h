// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What would make mechanisms wait if they were applied now. Internal to this
// package.
//
//   RehearsalOptions options;
//   options.threads = ControlledThreads();
//   INSTAR_ASSIGN_OR_RETURN(Rehearsal found, Rehearse(transition, options));
//
// Threads are stopped one after the other, each once, so that none waits for
// another; twice where functions are active of which not all was known. Nothing
// is changed.
//
// Threads: as of a Transition.

#ifndef INSTAR_UPDATES_INTERNAL_REHEARSAL_H_
#define INSTAR_UPDATES_INTERNAL_REHEARSAL_H_

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "threads/thread_ref.h"
#include "updates/internal/transition.h"
#include "updates/quiescence/blocker.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace updates_internal {

// For how long a thread is waited for at most, and what the author's code may
// take of a rehearsal.
inline constexpr std::chrono::nanoseconds kRehearsalLimit =
    std::chrono::milliseconds(100);
inline constexpr std::chrono::nanoseconds kRehearsedCode =
    std::chrono::seconds(2);

struct RehearsalOptions {
  // With kAllThreads all are stopped at once: that is quick.
  Stacks stacks = Stacks::kControlledThreads;
  // Of kControlledThreads.
  std::vector<ThreadRef> threads;
  std::string point;
  std::map<std::string, std::string> points;  // StopOptions::points
  bool looks_at_others = false;               // each by itself, too
  // For how long each thread is waited for; no longer than kRehearsalLimit.
  std::chrono::nanoseconds limit = kRehearsalLimit;
};

// Threads that are not among those that were asked for, nor the caller.
struct OtherThreadsSeen {
  // Those that are inside of what must be quiescent.
  std::vector<Blocker> inside;
  // Of which it is not known whether they are; sentences that say why.
  std::vector<std::string> unknown;
};

struct Rehearsal {
  // With those that there was no time to ask.
  std::vector<Blocker> blockers;
  OtherThreadsSeen others;
};

// An error: Apply() would give up.
absl::StatusOr<Rehearsal> Rehearse(Transition& transition,
                                   const RehearsalOptions& options);

// Rehearsal::others, by what the latest attempt has looked for.
OtherThreadsSeen LookAtOthers(const Transition& transition,
                              absl::Span<const ThreadRef> threads);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_REHEARSAL_H_
