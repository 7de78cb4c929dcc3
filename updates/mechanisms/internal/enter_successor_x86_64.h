// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The registers of x86-64 (System V psABI, figure 3.4) that are preserved
// across calls. Part of updates/mechanisms/internal/enter_successor.h.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_X86_64_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_X86_64_H_

#include <unwind.h>

#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace instar {
namespace updates_internal {

// The registers of a function's caller that are preserved across calls, and
// what the function that it seems to have called is given.
struct CallerRegisters {
  std::uintptr_t rbx, rbp, r12, r13, r14, r15;
  std::uintptr_t rsp;  // where the return address lies
  std::uintptr_t target;
  std::uintptr_t first, second;  // arguments
};

// Offsets that enter_successor_x86_64.S relies on.
static_assert(offsetof(CallerRegisters, rbx) == 0);
static_assert(offsetof(CallerRegisters, rbp) == 8);
static_assert(offsetof(CallerRegisters, r12) == 16);
static_assert(offsetof(CallerRegisters, r13) == 24);
static_assert(offsetof(CallerRegisters, r14) == 32);
static_assert(offsetof(CallerRegisters, r15) == 40);
static_assert(offsetof(CallerRegisters, rsp) == 48);
static_assert(offsetof(CallerRegisters, target) == 56);
static_assert(offsetof(CallerRegisters, first) == 64);
static_assert(offsetof(CallerRegisters, second) == 72);

inline CallerRegisters CallerRegistersAtCall(_Unwind_Context* context,
                                             std::uintptr_t cfa) {
  // Their numbers in DWARF (psABI, figure 3.36).
  enum Register { kRbx = 3, kRbp = 6, kR12 = 12, kR13, kR14, kR15 };
  CallerRegisters registers = {};
  registers.rbx = _Unwind_GetGR(context, kRbx);
  registers.rbp = _Unwind_GetGR(context, kRbp);
  registers.r12 = _Unwind_GetGR(context, kR12);
  registers.r13 = _Unwind_GetGR(context, kR13);
  registers.r14 = _Unwind_GetGR(context, kR14);
  registers.r15 = _Unwind_GetGR(context, kR15);
  // As after the call: its return address, in its own place, lies on top.
  registers.rsp = cfa - 8;
  INSTAR_CHECK(*reinterpret_cast<const std::uintptr_t*>(registers.rsp) ==
               _Unwind_GetIP(context))
      << "the return address is not below the canonical frame address";
  return registers;
}

inline void SetCall(CallerRegisters* registers, void (*target)(),
                    void* return_slot, void* argument) {
  registers->target = reinterpret_cast<std::uintptr_t>(target);
  registers->first = reinterpret_cast<std::uintptr_t>(
      return_slot != nullptr ? return_slot : argument);
  registers->second =
      return_slot != nullptr ? reinterpret_cast<std::uintptr_t>(argument) : 0;
}

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_X86_64_H_
