// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// From where a stack is walked: three registers (and, where a signal has
// interrupted a function on arm64, a fourth), and the memory in which its
// frames lie.
//
//   StackSnapshot here = SnapshotOfCaller();
//   StackSnapshot body = SnapshotOf(*continulet.paused_context());
//   StackSnapshot entry = SnapshotAtEntry(return_address, sp, fp, bounds);
//   // another thread: stack/interrupted_thread.h
//
// Three registers suffice for every function that GCC and clang compile: their
// call frame information finds the other callee-saved registers, which nobody
// asks a stack walk for. Code that keeps its frame's address in another
// register (the lazy binding of ld.so, some hand-written assembly) is reported
// as not walkable.
//
// Lifetime: a snapshot is a view. That of a paused computation is valid until
// it goes on; that of the caller, while the calling function has not returned.
// Threads: a value type. SnapshotOfCaller() is async-signal-safe once
// StackOfThisThread() has been called on the thread.

#ifndef INSTAR_STACK_STACK_SNAPSHOT_H_
#define INSTAR_STACK_STACK_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>

#include "base/linux/stack_bounds.h"
#include "continuation/paused_context.h"

namespace instar {

struct StackSnapshot {
  std::uintptr_t pc = 0;
  std::uintptr_t sp = 0;
  std::uintptr_t fp = 0;
  // If a signal interrupted it: where a function returns to that has saved that
  // nowhere. 0 on processors that always have it on the stack.
  std::uintptr_t link = 0;
  StackBounds bounds;
  // True if `pc` is where the computation goes on; false if it is a return
  // address, which belongs to the call before it.
  bool is_exact = true;
  // True if a signal interrupted the computation there.
  bool is_interrupted = false;
  // On somebody else's fiber (continuation/foreign_stacks.h): the code at its
  // base may have no unwind information.
  bool is_foreign = false;
  // Where the bytes are to be read, minus where they belong: not zero if a copy
  // of the stack is walked (modulo 2^64).
  std::uintptr_t copy_offset = 0;
  // Where the walk goes on when it has reached the base of a continulet: the
  // computation that switched to it. Null ends the walk there.
  const StackSnapshot* switcher = nullptr;
};

// The calling thread's own stack, even when it runs on another one. The first
// call on a thread asks the system (it may allocate and read /proc); later ones
// take about a nanosecond.
StackBounds StackOfThisThread();

// The stack that the caller runs on: of the innermost running continulet, the
// thread's own, or one that was declared (continuation/foreign_stacks.h). On
// any other, the thread's own, in which the caller's stack pointer does not
// lie.
StackBounds StackOfCaller();

// The same, empty if StackOfThisThread() was never called on the thread and it
// runs in no continulet. Async-signal-safe.
StackBounds StackOfCallerIfKnown();

namespace stack_internal {

// Whether these bounds, which StackOfCaller() gave the calling thread, are
// those of a stack that was declared.
bool IsForeign(const StackBounds& bounds);

inline __attribute__((always_inline)) StackSnapshot CaptureCaller() {
  StackSnapshot snapshot;
#if defined(__x86_64__)
  asm volatile(
      "leaq 0(%%rip), %0\n\t"
      "movq %%rsp, %1\n\t"
      "movq %%rbp, %2"
      : "=&r"(snapshot.pc), "=&r"(snapshot.sp), "=&r"(snapshot.fp));
#elif defined(__aarch64__)
  asm volatile(
      "adr %0, .\n\t"
      "mov %1, sp\n\t"
      "mov %2, x29"
      : "=&r"(snapshot.pc), "=&r"(snapshot.sp), "=&r"(snapshot.fp));
#else
#error "how this processor tells its registers is not known here"
#endif
  return snapshot;
}

}  // namespace stack_internal

// The function that calls this is the innermost frame. It is inlined, so that
// the registers are those of that function.
inline __attribute__((always_inline)) StackSnapshot SnapshotOfCaller() {
  const StackBounds bounds = StackOfCaller();
  StackSnapshot snapshot = stack_internal::CaptureCaller();
  snapshot.bounds = bounds;
  snapshot.is_foreign = stack_internal::IsForeign(bounds);
  return snapshot;
}

// A paused computation: a continulet, or whoever switched to one.
StackSnapshot SnapshotOf(const PausedContext& context);

// A thread that stopped at the entry of a function, before it began: its caller
// is the innermost frame. `sp` is the caller's, after the call would have
// returned.
StackSnapshot SnapshotAtEntry(std::uintptr_t return_address, std::uintptr_t sp,
                              std::uintptr_t fp, StackBounds bounds);

// The computations that wait for the caller because they switched to the
// continulet in which it runs, innermost first; linked, so that a walk from
// `*first`, which runs in that continulet, goes on through them to the base of
// the thread. `room` has space for `size` snapshots and must live as long as
// the walk. Returns how many there are, or -1 if there are more than `size`.
int LinkSwitchers(StackSnapshot* first, StackSnapshot* room, int size);

}  // namespace instar

#endif  // INSTAR_STACK_STACK_SNAPSHOT_H_
