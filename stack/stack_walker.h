// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Walks a stack from a snapshot to its base.
//
//   WalkResult result = WalkStack(SnapshotOfCaller(), [&](const Frame& frame) {
//     if (set.Contains(frame.lookup_pc)) ...
//     return true;  // go on
//   });
//   if (!result.complete()) return NotYet(result.ToString());
//
// The rule is that of the Linux kernel's reliable stack traces: every frame is
// reported, or the walk says that it is not complete, and why. It is complete
// only if it ends at a known base: the program's start (_start), the start of a
// thread in libc (clone), or the start of a continulet. A short walk is never
// mistaken for a complete one.
//
// How: each step follows the call frame information of that very program
// counter, which for code with frame pointers is to follow the frame pointer.
// The rule of a return address is computed once (about 0.3 us) and remembered
// (stack/internal/rule_cache.h), so a step of a warm walk takes 2 to 4 ns. A
// chain of frame pointers alone is never trusted: code that keeps no frame
// pointer (libc) or has not set it up yet would hide its caller.
//
// What it counts on: that unwind information, where there is some, is right. It
// is what exceptions are thrown by.
//
// Threads: any, at once. A walk takes no lock and allocates nothing; it is
// async-signal-safe. The stack walked must not change meanwhile: it is the
// caller's own, that of a paused computation, of a thread that is held, or a
// copy. Other threads may load and unload shared objects during a walk, as long
// as none that the stack walked runs through is unloaded.

#ifndef INSTAR_STACK_STACK_WALKER_H_
#define INSTAR_STACK_STACK_WALKER_H_

#include <cstdint>
#include <string>

#include "stack/internal/frame_rule.h"
#include "stack/internal/rule_cache.h"
#include "stack/stack_snapshot.h"

namespace instar {

struct Frame {
  std::uintptr_t pc;         // where it goes on
  std::uintptr_t lookup_pc;  // in the instruction that it executes: the call
  std::uintptr_t sp;         // when it goes on
  int depth;                 // 0 is the innermost frame
};

enum class WalkEnd {
  kComplete,             // a known base was reached
  kStopped,              // the visitor did not want more
  kUnknownCode,          // a frame's code lies in no loaded object
  kNoUnwindInformation,  // a frame's code has none
  kUnsupportedRule,      // a frame's rule needs registers that are not known
  kSignalFrame,          // a signal handler runs on this stack
  kLoop,                 // a frame does not lie above the one that it called
  kBoundsLeft,           // a frame does not lie in the bounds of the stack
  kUnknownBase,          // the outermost frame is none of the known bases
};

// "complete", "unknown code", ...
const char* ToString(WalkEnd end);

struct WalkResult {
  WalkEnd end = WalkEnd::kComplete;
  std::uintptr_t pc = 0;  // of the last frame that was reported
  int frames = 0;         // that were reported

  bool complete() const { return end == WalkEnd::kComplete; }
  // "no unwind information at pc 0x..., frame 3". Allocates.
  std::string ToString() const;
};

// Calls bool visit(const Frame&) for every frame, from the innermost to the
// base, until it returns false. The base's own frame is reported, too.
template <typename Visitor>
WalkResult WalkStack(const StackSnapshot& snapshot, Visitor&& visit);

// Says that the object that holds the code at `address` is never unloaded, so
// that walks through it are fast. Fatal if none holds it. Takes a lock of the
// dynamic linker and allocates.
void DeclareNeverUnloaded(const void* address);

namespace stack_internal {

struct WalkState {
  const StackSnapshot* snapshot;
  FrameRegisters registers;
  bool is_exact;
};

// Steps to the caller by the frame's own rule and remembers it. Returns
// WalkEnd::kStopped if there is a caller, else how the walk ends. At the base
// of a continulet it goes on with whoever switched to it. Where there is no
// code of our own for the processor, a step of libunwind.
WalkEnd StepSlowly(WalkState* state);

// The frame says that nobody called it. Believed only of those that are known,
// of which `function_start` is one; as StepSlowly().
WalkEnd AtBase(std::uintptr_t function_start, WalkState* state);

// A frame of which `end` says what is not known: complete, if it is what lies
// at the base of somebody else's fiber.
WalkEnd AtUnknown(WalkEnd end, const WalkState& state);

// True if a frame with this CFA can be followed from a stack pointer of `sp`,
// which lies in `bounds` and, as every one, is a multiple of 8: the return
// address below the CFA then lies in `bounds`, too.
inline bool IsNextFrame(std::uintptr_t cfa, std::uintptr_t sp,
                        const StackBounds& bounds) {
  return cfa > sp && cfa <= bounds.high && cfa % 8 == 0;
}

// Where a walk of the snapshot begins; false if that is no place on its stack.
inline bool BeginWalk(const StackSnapshot& snapshot, WalkState* state,
                      WalkResult* result) {
  *state = {
      &snapshot, {snapshot.pc, snapshot.sp, snapshot.fp}, snapshot.is_exact};
  if (snapshot.bounds.Contains(snapshot.sp) && snapshot.sp % 8 == 0) {
    return true;
  }
  result->end = WalkEnd::kBoundsLeft;
  return false;
}

// A walk in which `step` does all.
template <typename Visitor, typename Step>
WalkResult WalkBySteps(const StackSnapshot& snapshot, Visitor& visit,
                       Step step) {
  WalkState state;
  WalkResult result;
  if (!BeginWalk(snapshot, &state, &result)) return result;
  do {
    const FrameRegisters& at = state.registers;
    result.pc = at.pc;
    const Frame frame{at.pc, at.pc - (state.is_exact ? 0 : 1), at.sp,
                      result.frames++};
    if (!visit(frame)) {
      result.end = WalkEnd::kStopped;
      return result;
    }
    result.end = step(&state);
  } while (result.end == WalkEnd::kStopped);
  return result;
}

}  // namespace stack_internal

#ifdef INSTAR_PORTABLE

template <typename Visitor>
WalkResult WalkStack(const StackSnapshot& snapshot, Visitor&& visit) {
  return stack_internal::WalkBySteps(snapshot, visit,
                                     &stack_internal::StepSlowly);
}

#else

template <typename Visitor>
WalkResult WalkStack(const StackSnapshot& snapshot, Visitor&& visit) {
  using stack_internal::FindCachedRule;
  using stack_internal::PackedRule;
  using stack_internal::ReadStack;
  using stack_internal::RuleKind;
  stack_internal::WalkState state;
  WalkResult result;
  if (!stack_internal::BeginWalk(snapshot, &state, &result)) return result;
  stack_internal::FrameRegisters& at = state.registers;
  while (true) {
    result.pc = at.pc;
    const Frame frame{at.pc, at.pc - (state.is_exact ? 0 : 1), at.sp,
                      result.frames++};
    if (!visit(frame)) {
      result.end = WalkEnd::kStopped;
      return result;
    }
    const PackedRule rule =
        FindCachedRule(stack_internal::CacheKey(at.pc, state.is_exact));
    const StackBounds& bounds = state.snapshot->bounds;
    const std::uintptr_t shift = state.snapshot->copy_offset;
    // The rule of nearly all code with frame pointers, tested by a branch: the
    // processor then follows the chain without waiting for the table.
    if (rule.bits() == stack_internal::kFramePointerRule.bits()) {
      const std::uintptr_t cfa = at.fp + 16;
      if (stack_internal::IsNextFrame(cfa, at.sp + 8, bounds)) {
        at.pc = ReadStack(cfa - 8 + shift);
        at.fp = ReadStack(cfa - 16 + shift);
        at.sp = cfa;
        state.is_exact = false;
        continue;
      }
    } else if (rule.kind() == RuleKind::kFromRbp ||
               rule.kind() == RuleKind::kFromRsp) {
      const std::uintptr_t cfa =
          (rule.kind() == RuleKind::kFromRbp ? at.fp : at.sp) +
          static_cast<std::uintptr_t>(rule.cfa_offset());
      const std::uintptr_t saved_rbp =
          cfa + static_cast<std::uintptr_t>(rule.rbp_offset());
      if (stack_internal::IsNextFrame(cfa, at.sp, bounds) &&
          saved_rbp >= bounds.low && saved_rbp <= cfa) {
        at.pc = ReadStack(cfa - 8 + shift);
        if (rule.rbp_offset() != 0) at.fp = ReadStack(saved_rbp + shift);
        at.sp = cfa;
        state.is_exact = false;
        continue;
      }
    } else if (rule.kind() == RuleKind::kOutermost &&
               state.snapshot->switcher == nullptr) {
      result.end = WalkEnd::kComplete;
      return result;
    }
    const WalkEnd end = stack_internal::StepSlowly(&state);
    if (end != WalkEnd::kStopped) {
      result.end = end;
      return result;
    }
  }
}

#endif  // INSTAR_PORTABLE

}  // namespace instar

#endif  // INSTAR_STACK_STACK_WALKER_H_
