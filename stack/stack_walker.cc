// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/stack_walker.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <sys/auxv.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "continuation/paused_context.h"
#ifdef INSTAR_PORTABLE
#include "stack/portable/libunwind_step.h"
#endif

namespace instar {
namespace stack_internal {
namespace {

// The kernel starts the program here: _start. Asked for each time, a search in
// 20 words, since a stack may be walked before any constructor has run.
std::uintptr_t ProgramEntry() { return getauxval(AT_ENTRY); }

bool IsInLibc(std::uintptr_t pc) {
  dl_find_object object;
  dl_find_object libc;
  return _dl_find_object(reinterpret_cast<void*>(pc), &object) == 0 &&
         _dl_find_object(reinterpret_cast<void*>(&gnu_get_libc_version),
                         &libc) == 0 &&
         object.dlfo_link_map == libc.dlfo_link_map;
}

// What starts a fiber lies at its very end: of Boost.Context's, it has no
// unwind information. (Its callable may lie above.)
constexpr std::uintptr_t kForeignBase = 1024;  // bytes

#ifndef INSTAR_PORTABLE

// Follows a rule of kind kFromRsp, kFromRbp or kExpression.
WalkEnd Follow(const FrameRule& rule, WalkState* state) {
  const StackBounds& bounds = state->snapshot->bounds;
  const std::uintptr_t shift = state->snapshot->copy_offset;
  FrameRegisters& at = state->registers;
  std::uintptr_t cfa;
  if (rule.kind == RuleKind::kExpression) {
    if (!RunFrameProgram(rule.cfa_program, at, at.sp, bounds.high, shift,
                         &cfa)) {
      return WalkEnd::kUnsupportedRule;
    }
  } else {
    cfa = (rule.kind == RuleKind::kFromRbp ? at.fp : at.sp) +
          static_cast<std::uintptr_t>(std::int64_t{rule.cfa_offset});
  }
  if (cfa <= at.sp) {
    return cfa < bounds.low ? WalkEnd::kBoundsLeft : WalkEnd::kLoop;
  }
  if (!IsNextFrame(cfa, at.sp, bounds) || cfa - 8 < bounds.low) {
    return WalkEnd::kBoundsLeft;
  }
  if (rule.rbp_offset != 0 || rule.rbp_program != 0) {
    std::uintptr_t place =
        cfa + static_cast<std::uintptr_t>(std::int64_t{rule.rbp_offset});
    if (rule.rbp_program != 0 && !RunFrameProgram(rule.rbp_program, at, at.sp,
                                                  bounds.high, shift, &place)) {
      return WalkEnd::kUnsupportedRule;
    }
    if (place % 8 != 0 || place < bounds.low || place > cfa - 8) {
      return WalkEnd::kBoundsLeft;
    }
    at.fp = ReadStack(place + shift);
  }
  at.pc = ReadStack(cfa - 8 + shift);
  at.sp = cfa;
  state->is_exact = false;
  return WalkEnd::kStopped;
}

#endif  // INSTAR_PORTABLE

}  // namespace

WalkEnd AtBase(std::uintptr_t function_start, WalkState* state) {
  const std::uintptr_t pc = state->registers.pc;
  if (IsContinuletBase(pc)) {
    const StackSnapshot* next = state->snapshot->switcher;
    if (next == nullptr) return WalkEnd::kComplete;
    state->snapshot = next;
    state->registers = {next->pc, next->sp, next->fp};
    state->is_exact = next->is_exact;
    return next->bounds.Contains(next->sp) && next->sp % 8 == 0
               ? WalkEnd::kStopped
               : WalkEnd::kBoundsLeft;
  }
  return function_start == ProgramEntry() || IsInLibc(pc)
             ? WalkEnd::kComplete
             : WalkEnd::kUnknownBase;
}

WalkEnd AtUnknown(WalkEnd end, const WalkState& state) {
  // Not where the fiber goes on: that is in code that is known.
  return state.snapshot->is_foreign && !state.is_exact &&
                 state.snapshot->bounds.high - state.registers.sp <=
                     kForeignBase
             ? WalkEnd::kComplete
             : end;
}

#ifdef INSTAR_PORTABLE

WalkEnd StepSlowly(WalkState* state) { return StepByLibunwind(state); }

#else

WalkEnd StepSlowly(WalkState* state) {
  const std::uintptr_t pc = state->registers.pc;
  const bool is_exact = state->is_exact;
  // Where a signal interrupts is somewhere else each time: not worth a place.
  const bool remember = !is_exact || !state->snapshot->is_interrupted;
  const FrameRule rule = ComputeFrameRule(pc - (is_exact ? 0 : 1));
  switch (rule.kind) {
    case RuleKind::kFromRsp:
    case RuleKind::kFromRbp: {
      const WalkEnd end = Follow(rule, state);
      if (end == WalkEnd::kStopped && remember) CacheRule(pc, is_exact, rule);
      return end;
    }
    case RuleKind::kExpression:
      return Follow(rule, state);
    case RuleKind::kOutermost: {
      const WalkEnd end = AtBase(rule.function_start, state);
      if (end == WalkEnd::kUnknownBase) return AtUnknown(end, *state);
      if (end == WalkEnd::kComplete && remember) CacheRule(pc, is_exact, rule);
      return end;
    }
    case RuleKind::kSignalFrame:
      return WalkEnd::kSignalFrame;
    case RuleKind::kUnknownCode:
      return AtUnknown(WalkEnd::kUnknownCode, *state);
    case RuleKind::kNoEntry:
      return AtUnknown(WalkEnd::kNoUnwindInformation, *state);
    case RuleKind::kNone:
    case RuleKind::kUnsupported:
      break;
  }
  return WalkEnd::kUnsupportedRule;
}

#endif  // INSTAR_PORTABLE

}  // namespace stack_internal

const char* ToString(WalkEnd end) {
  switch (end) {
    case WalkEnd::kComplete:
      return "complete";
    case WalkEnd::kStopped:
      return "stopped by the visitor";
    case WalkEnd::kUnknownCode:
      return "unknown code";
    case WalkEnd::kNoUnwindInformation:
      return "no unwind information";
    case WalkEnd::kUnsupportedRule:
      return "unwind information that needs other registers";
    case WalkEnd::kSignalFrame:
      return "signal frame";
    case WalkEnd::kLoop:
      return "loop";
    case WalkEnd::kBoundsLeft:
      return "bounds of the stack left";
    case WalkEnd::kUnknownBase:
      return "unknown base";
  }
  return "?";
}

std::string WalkResult::ToString() const {
  return absl::StrCat(instar::ToString(end), " at pc 0x", absl::Hex(pc),
                      ", frame ", frames - 1);
}

}  // namespace instar
