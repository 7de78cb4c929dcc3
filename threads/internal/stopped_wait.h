// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A wait of this library's own in which a controlled thread counts as stopped,
// or threads that wait for each other at a rendezvous would wait in vain.
// Internal to //threads and //updates.
//
//   WaitAsStopped(SnapshotOfCaller(), [&] { lock.lock(); });
//
// It is no blocking region (threads/blocking_region.h): nothing gets the thread
// out of it, no update function runs at its end, and it may be used within an
// update function. A thread that waits so is not rebooted by who holds it
// (threads/held_reboot.h), since it would go on with its function first.
//
// Threads: any; in one that is not controlled, and in one that counts as
// stopped already, it is the bare call. Memory ordering: as of a rendezvous.

#ifndef INSTAR_THREADS_INTERNAL_STOPPED_WAIT_H_
#define INSTAR_THREADS_INTERNAL_STOPPED_WAIT_H_

#include "absl/functional/function_ref.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/thread_record.h"  // for Busy

namespace instar {
namespace threads_internal {

// Whether the calling thread may be made to wait where it is: not while it runs
// this library's code or an update function, in a blocking region, nor in a
// NoUpdateScope.
bool CanWaitAsStopped();

// Calls `wait`, which throws nothing. Meanwhile the thread's stack is `here`,
// which must be there until this returns, and whatever switched to it. When
// `wait` has returned, the thread waits for as long as it is held.
void WaitAsStopped(StackSnapshot here, absl::FunctionRef<void()> wait);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_STOPPED_WAIT_H_
