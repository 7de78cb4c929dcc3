// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// One step of a stack walk by libunwind: what processors have that
// stack/internal/frame_rule.h does not know, and the independent check of it on
// those that it does. The rule is that of stack/stack_walker.h: a walk is
// complete, or says why it is not; libunwind's guesses, which it makes where
// code has no unwind information, are not taken.
//
// On arm64 a function that a signal interrupts may not have saved yet, or not
// any more, or never, where it returns to: the snapshot has that register
// (x30), and the call frame information says that it is to be found there.
//
// It is about a hundred times slower, and not async-signal-safe: of an
// interrupted thread a copy of the stack is walked.

#ifndef INSTAR_STACK_PORTABLE_LIBUNWIND_STEP_H_
#define INSTAR_STACK_PORTABLE_LIBUNWIND_STEP_H_

#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"

namespace instar {
namespace stack_internal {

// As StepSlowly(): WalkEnd::kStopped if there is a caller, to which `state` is
// then set, else how the walk ends. Knows of no more registers than `state`
// has: a frame that needs others ends the walk (kUnsupportedRule).
WalkEnd StepByLibunwind(WalkState* state);

}  // namespace stack_internal

// As WalkStack().
template <typename Visitor>
WalkResult WalkStackByLibunwind(const StackSnapshot& snapshot,
                                Visitor&& visit) {
  return stack_internal::WalkBySteps(snapshot, visit,
                                     &stack_internal::StepByLibunwind);
}

}  // namespace instar

#endif  // INSTAR_STACK_PORTABLE_LIBUNWIND_STEP_H_
