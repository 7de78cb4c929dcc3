// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether a thread may own the lock of the dynamic linker. Internal to this
// package.
//
//   if (MayOwnLinkerLock(stack)) ...           // it is not held there
//
// It does in the initializers of an object that dlopen() loads, the finalizers
// of one that dlclose() unloads, and in a callback of dl_iterate_phdr().
// Whoever applies an update may need that lock, so such a thread is not held,
// and is tried again at its next point.
//
// Threads: any. It takes no lock and allocates nothing: the linker's code is
// found before main(), or when this library is loaded.

#ifndef INSTAR_THREADS_INTERNAL_LINKER_LOCK_H_
#define INSTAR_THREADS_INTERNAL_LINKER_LOCK_H_

#include "stack/stack_snapshot.h"

namespace instar {
namespace threads_internal {

bool MayOwnLinkerLock(const StackSnapshot& stack);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_LINKER_LOCK_H_
