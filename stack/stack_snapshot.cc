// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/stack_snapshot.h"

#include <cstdint>
#include <optional>

#include "base/check.h"
#include "base/linux/stack_bounds.h"
#include "continuation/foreign_stacks.h"
#include "continuation/paused_computations.h"

namespace instar {
namespace {

// Zero until asked for. Initial-exec: a signal handler may read it.
__thread StackBounds thread_stack __attribute__((tls_model("initial-exec")));

}  // namespace

StackBounds StackOfThisThread() {
  if (__builtin_expect(thread_stack.high == 0, false)) {
    thread_stack = AskForThreadStack();
    INSTAR_CHECK(thread_stack.high != 0)
        << "the system does not tell where this thread's stack lies";
  }
  return thread_stack;
}

StackBounds StackOfCallerIfKnown() {
  const std::optional<ContinuletStack> stack = StackOfRunningContinulet();
  if (!stack.has_value()) return thread_stack;
  return StackBounds{stack->low, stack->high};
}

StackBounds StackOfCaller() {
  StackBounds known = StackOfCallerIfKnown();
  if (known.high == 0) known = StackOfThisThread();
  const auto here =
      reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (__builtin_expect(known.Contains(here), true)) return known;
  const auto foreign = continuation_internal::FindForeignStack(here);
  return foreign.has_value() ? StackBounds{foreign->low, foreign->high} : known;
}

bool stack_internal::IsForeign(const StackBounds& bounds) {
  return bounds.high != StackOfCallerIfKnown().high &&
         continuation_internal::FindForeignStack(bounds.low).has_value();
}

StackSnapshot SnapshotOf(const PausedContext& context) {
  StackSnapshot snapshot;
  snapshot.pc = context.pc;
  snapshot.sp = context.sp;
  snapshot.fp = context.fp;
  snapshot.bounds = StackBounds{context.stack_low, context.stack_high};
  snapshot.is_foreign = context.is_foreign;
  return snapshot;
}

StackSnapshot SnapshotAtEntry(std::uintptr_t return_address, std::uintptr_t sp,
                              std::uintptr_t fp, StackBounds bounds) {
  StackSnapshot snapshot;
  snapshot.pc = return_address;
  snapshot.sp = sp;
  snapshot.fp = fp;
  snapshot.bounds = bounds;
  snapshot.is_foreign = stack_internal::IsForeign(bounds);
  snapshot.is_exact = false;
  return snapshot;
}

int LinkSwitchers(StackSnapshot* first, StackSnapshot* room, int size) {
  int count = 0;
  StackSnapshot* last = first;
  VisitSwitchers([&](const PausedContext& context) {
    if (count == size) {
      count = -1;
      return false;
    }
    room[count] = SnapshotOf(context);
    last->switcher = &room[count];
    last = &room[count++];
    return true;
  });
  return count;
}

}  // namespace instar
