// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A descriptor that a child made by fork() does not keep: the child's copy is
// closed before fork() returns there. O_CLOEXEC does that only in a program
// that is executed; a child that goes on as a worker would keep sockets alive
// whose owner is gone, and those at the other end would wait for ever.
//
//   ClosedInChild listed(&socket);   // as long as the socket is open
//
// It does not close the descriptor in this process. To be destroyed before the
// OwnDescriptor is, which does not move meanwhile. What the program has closed
// itself is left alone.
//
// Threads: may be made and destroyed on any thread. fork() waits meanwhile.

#ifndef INSTAR_MANAGER_CONTROL_CLOSED_IN_CHILD_H_
#define INSTAR_MANAGER_CONTROL_CLOSED_IN_CHILD_H_

#include "base/linux/own_descriptor.h"

namespace instar {
namespace manager_internal {

class ClosedInChild {
 public:
  explicit ClosedInChild(OwnDescriptor* descriptor);
  ClosedInChild(const ClosedInChild&) = delete;
  ClosedInChild& operator=(const ClosedInChild&) = delete;
  ~ClosedInChild();

 private:
  OwnDescriptor* const descriptor_;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_CLOSED_IN_CHILD_H_
