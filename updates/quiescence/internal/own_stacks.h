// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The stack of the thread that looks at those of others, which counts as well,
// with the computations that wait for it because it runs in their continulets.
// (Its paused continulets: continuation/paused_computations.h.)
//
//   if (!VisitOwnStack([&](const StackSnapshot& stack) {
//         if (!FindActivity(stack, set).quiescent()) ...
//       })) ...                       // TooDeep() says why not
//
// Internal to this package. Threads: any. Allocates nothing, once
// StackOfThisThread() was called on the thread, and takes no lock: others may
// be held.

#ifndef INSTAR_UPDATES_QUIESCENCE_INTERNAL_OWN_STACKS_H_
#define INSTAR_UPDATES_QUIESCENCE_INTERNAL_OWN_STACKS_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "stack/stack_snapshot.h"

namespace instar {
namespace updates_internal {

// False, having visited nothing, if the caller runs in too many continulets
// within continulets. What is visited is valid while `visit` runs.
bool VisitOwnStack(absl::FunctionRef<void(const StackSnapshot& stack)> visit);

// Why it could not be visited.
std::string TooDeep();

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_INTERNAL_OWN_STACKS_H_
