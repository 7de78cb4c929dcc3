// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Ends a program, and says whose fault it is and where, when something is done
// in the stopped world that may wait for a thread which is held:
//
//   - the library allocates or frees: any thread may own a lock of the
//     allocator;
//   - a mechanism, hook or conversion of an update's author takes a lock of the
//     program: a mutex or lock for reading and writing of pthreads (std::mutex,
//     std::shared_mutex and boost's are some), or an absl::Mutex.
//
// It does so also where no thread owns the lock at the time, so that a fault
// shows in each test, not in one of a thousand. For the tests of a program, its
// updates and mechanisms:
//
//     bazel test --config=checked //updates/plan_test:update_plan_test
//     bazel test --custom_malloc=@instar//base/testing:checked_world ...
//
// of tests without an allocator of their own, or as one of the deps of a test.
// A test that holds threads itself, by a Rendezvous, is taken for the library
// meanwhile (it has the tag no_checked).
// With INSTAR_CHECKED_WORLD=say in the environment the program goes on when it
// has said so.
//
// A lock that no thread which is held can own is no fault: where all are at a
// named update point (UpdatePlan::AtUpdatePoint()), none is looked for, and
// AuthorsPart(nullptr) says so of others (base/no_allocation.h).
//
// What it does not see: spin locks of the program's own; locks that libraries
// take by themselves, as libc does; an absl::Mutex where Abseil is linked as an
// archive; try_lock(), which waits for nobody.

#ifndef INSTAR_BASE_TESTING_CHECKED_WORLD_H_
#define INSTAR_BASE_TESTING_CHECKED_WORLD_H_

namespace instar {

// "instar: <what>, called by <the function of the program>", and the stack.
// For the functions that take the place of others: the caller's caller is who
// is to blame.
void EndUnchecked(const char* what);

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_CHECKED_WORLD_H_
