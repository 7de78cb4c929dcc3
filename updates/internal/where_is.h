// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a thread of the process is, for people. Internal to the library.

#ifndef INSTAR_UPDATES_INTERNAL_WHERE_IS_H_
#define INSTAR_UPDATES_INTERNAL_WHERE_IS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace instar {
namespace updates_internal {

// The functions that the thread is in, innermost first, a few of them; empty if
// that cannot be seen. Interrupts the thread for a moment, takes locks and
// allocates. Any thread, for any other one.
std::vector<std::string> WhereIs(pid_t tid);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_WHERE_IS_H_
