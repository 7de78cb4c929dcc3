// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether a thread may stay interrupted where it is. Internal to this package.

#ifndef INSTAR_THREADS_STRAGGLER_H_
#define INSTAR_THREADS_STRAGGLER_H_

#include "code/function.h"
#include "stack/stack_snapshot.h"

namespace instar {
namespace threads_internal {

// True if the interrupted thread is in a system call, all its frames are known,
// and none belongs to the allocator, the dynamic linker, or to what changes the
// set of threads or processes or a signal mask (which is no wait; sanitizers do
// it on their own); nor does a sanitizer make the call. Code of libc is known
// by the exported function that the program called: the frame next to the
// program's must be one. Takes no lock and allocates nothing; for a few
// microseconds.
bool MayStayInterrupted(const StackSnapshot& stack, const FunctionMap& map);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_STRAGGLER_H_
