// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The memory of a stack.

#ifndef INSTAR_BASE_LINUX_STACK_BOUNDS_H_
#define INSTAR_BASE_LINUX_STACK_BOUNDS_H_

#include <cstdint>

namespace instar {

// [low, high), addresses of bytes. Empty: not known.
struct StackBounds {
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;

  bool Contains(std::uintptr_t address) const {
    return address >= low && address < high;
  }
};

// Where the calling thread's own stack lies, even while it runs on another one.
// Empty if the system does not tell. Asks the system each time: it may allocate
// and read /proc.
StackBounds AskForThreadStack();

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_STACK_BOUNDS_H_
