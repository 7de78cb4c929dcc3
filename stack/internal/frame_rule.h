// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How to get from a frame to its caller's: the part of the call frame
// information that concerns rip, rsp and rbp, for one program counter. Part of
// stack/stack_walker.h.
//
// Threads: any. Lock-free and async-signal-safe.
// Source: DWARF 4, sections 6.4 and 7.23; System V psABI for x86-64, 3.7.

#ifndef INSTAR_STACK_INTERNAL_FRAME_RULE_H_
#define INSTAR_STACK_INTERNAL_FRAME_RULE_H_

#include <cstdint>

namespace instar {
namespace stack_internal {

enum class RuleKind : std::uint8_t {
  kNone = 0,     // not computed yet
  kFromRsp,      // canonical frame address (CFA) = rsp + cfa_offset
  kFromRbp,      // CFA = rbp + cfa_offset
  kExpression,   // computed by a program
  kOutermost,    // nobody called this
  kSignalFrame,  // the kernel made this frame
  kUnknownCode,  // not in any loaded object
  kNoEntry,      // no unwind information
  kUnsupported,  // a rule that needs other registers, or that is malformed
};

struct FrameRule {
  RuleKind kind = RuleKind::kNone;
  std::int32_t cfa_offset = 0;  // bytes
  // Where the caller's rbp is saved, from the CFA; 0 if it is still in rbp.
  std::int32_t rbp_offset = 0;  // bytes, a multiple of 8
  // Programs, or null: of the CFA, and of the place where rbp is saved. They
  // lie in the .eh_frame section of the code's object.
  std::uintptr_t cfa_program = 0;
  std::uintptr_t rbp_program = 0;
  // The start of the code that the unwind information describes.
  std::uintptr_t function_start = 0;
};

// The rule for the instruction at `pc`.
FrameRule ComputeFrameRule(std::uintptr_t pc);

// The registers of a frame, and how to read its stack.
struct FrameRegisters {
  std::uintptr_t pc;
  std::uintptr_t sp;
  std::uintptr_t fp;
};

// Runs a program (length, then operations) of a frame. Reads of the stack are
// confined to [low, high) and shifted by `copy_offset`. False if it leaves that
// or uses an operation that no compiler uses here.
bool RunFrameProgram(std::uintptr_t program, const FrameRegisters& registers,
                     std::uintptr_t low, std::uintptr_t high,
                     std::uintptr_t copy_offset, std::uintptr_t* result);

// Reads a word of a stack, which another thread's instrumentation may think its
// own.
inline __attribute__((no_sanitize("address", "thread"))) std::uintptr_t
ReadStack(std::uintptr_t address) {
  return *reinterpret_cast<const std::uintptr_t*>(address);
}

}  // namespace stack_internal
}  // namespace instar

#endif  // INSTAR_STACK_INTERNAL_FRAME_RULE_H_
