// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Controlled threads around fork(). Internal to this package.
//
// The child has the calling thread alone: it is held by nobody, nothing is
// asked of it but what it is doing itself, and all other threads count as
// ended; what was asked of them is finished as cancelled. Handles of them do
// not join.

#ifndef INSTAR_THREADS_INTERNAL_FORK_HANDLERS_H_
#define INSTAR_THREADS_INTERNAL_FORK_HANDLERS_H_

#include <new>

#include "threads/internal/pending_request.h"

namespace instar {
namespace threads_internal {

// Before main().
void RegisterForkHandlers();

// In the child: makes a part anew that another thread may have been changing.
// What it owned is left.
template <typename T>
void MakeAnew(T& part) {
  ::new (static_cast<void*>(&part)) T();
}

// In the child, for a request that threads which are not there may have been
// at.
void FinishInChild(PendingRequest& request);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_FORK_HANDLERS_H_
