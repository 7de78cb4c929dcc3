// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a thread that a rendezvous holds at an update point calls when it goes
// on, on its own stack, before it returns from there. It may unwind that stack
// instead of returning: to replace an activation
// (updates/mechanisms/replace_activation.h). Internal to the library.
//
//   if (FindCallObstacle(thread) != nullptr) return not_yet;
//   SetHeldCall(thread, [...] { UnwindAndEnter(...); });
//   ... the rendezvous ends, and the thread calls it ...
//
// Threads: the one that holds the rendezvous, while it does.

#ifndef INSTAR_THREADS_INTERNAL_HELD_CALL_H_
#define INSTAR_THREADS_INTERNAL_HELD_CALL_H_

#include "absl/functional/any_invocable.h"
#include "stack/exposed_values.h"
#include "threads/rendezvous.h"

namespace instar {

// Why it cannot: "it is in an update function"; null if it can. Allocates
// nothing.
const char* FindCallObstacle(const HeldThread& thread);

// What it exposes, for stack_internal::ScopedExposedValues.
stack_internal::ExposedNode* ExposedBy(const HeldThread& thread);

// Of one that can, at the same rendezvous. False if the threads have been
// released meanwhile (Rendezvous::ReleaseByAnother()), and `call` is left.
// Takes it without allocating.
bool SetHeldCall(const HeldThread& thread, absl::AnyInvocable<void()>& call);
// The thread goes on as it was; what it would have called, to be destroyed
// where that may be. Null if it has called it, or is about to, or is held by
// another rendezvous.
absl::AnyInvocable<void()> CancelHeldCall(const HeldThread& thread);

// The same of the calling thread, in an update function of its own: called when
// its update functions at this point are over. The reasons why it cannot; the
// call that was taken back.
const char* FindOwnCallObstacle();
void SetOwnCall(absl::AnyInvocable<void()> call);
absl::AnyInvocable<void()> CancelOwnCall();

}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_HELD_CALL_H_
