// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a stack walker needs to know of a computation that is paused: the
// registers from which its frames are unwound, and the memory in which they
// lie. All other callee-saved registers were spilled by the code that paused,
// so its call frame information finds them on the stack.

#ifndef INSTAR_CONTINUATION_PAUSED_CONTEXT_H_
#define INSTAR_CONTINUATION_PAUSED_CONTEXT_H_

#include <cstdint>

namespace instar {

struct PausedContext {
  std::uintptr_t pc = 0;  // where it goes on; inside the function that paused
  std::uintptr_t sp = 0;
  std::uintptr_t fp = 0;
  std::uintptr_t stack_low = 0;   // lowest usable address of the stack
  std::uintptr_t stack_high = 0;  // first address above it
  // Of somebody else's fiber (continuation/foreign_stacks.h).
  bool is_foreign = false;
};

// True if `pc` lies in the code at the base of every continulet's stack, where
// a complete walk of such a stack ends. Async-signal-safe.
bool IsContinuletBase(std::uintptr_t pc);

}  // namespace instar

#endif  // INSTAR_CONTINUATION_PAUSED_CONTEXT_H_
