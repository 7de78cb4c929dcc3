// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Who owns the mutex that a thread waits for. Internal to the library.

#ifndef INSTAR_UPDATES_INTERNAL_LOCK_OWNER_H_
#define INSTAR_UPDATES_INTERNAL_LOCK_OWNER_H_

#include <sys/types.h>

#include <string>

namespace instar {
namespace updates_internal {

struct LockOwner {
  pid_t tid = 0;       // 0: that is not known
  char name[16] = "";  // of the thread, as the system has it
};

// Of the pthread_mutex_t (a std::mutex is one) for which the thread `waiter`
// waits in the kernel. It is not known of other locks, and of some kinds of
// mutex (priority inheritance). Allocates nothing, takes no lock, interrupts
// nobody: it can be asked while threads are held. Any thread, for any other
// one.
LockOwner FindLockOwner(pid_t waiter);

// ", which waits for a lock that thread 12 ('display') has"; empty if that is
// not known.
std::string Describe(const LockOwner& owner);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_LOCK_OWNER_H_
