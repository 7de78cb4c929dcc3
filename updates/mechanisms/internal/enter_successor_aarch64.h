// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The registers of arm64 (AAPCS64, 6.1) that are preserved across calls. Part
// of updates/mechanisms/internal/enter_successor.h.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_AARCH64_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_AARCH64_H_

#include <unwind.h>

#include <cstddef>
#include <cstdint>

namespace instar {
namespace updates_internal {

// The registers of a function's caller that are preserved across calls, and
// what the function that it seems to have called is given.
struct CallerRegisters {
  std::uintptr_t x19_to_x28[10];
  std::uintptr_t x29;
  std::uintptr_t x30;  // where it returns to
  std::uintptr_t sp;
  std::uintptr_t target;
  std::uintptr_t argument;
  std::uintptr_t result;  // where it lies, if in memory
  std::uint64_t d8_to_d15[8];
};

// Offsets that enter_successor_aarch64.S relies on.
static_assert(offsetof(CallerRegisters, x19_to_x28) == 0);
static_assert(offsetof(CallerRegisters, x29) == 80);
static_assert(offsetof(CallerRegisters, x30) == 88);
static_assert(offsetof(CallerRegisters, sp) == 96);
static_assert(offsetof(CallerRegisters, target) == 104);
static_assert(offsetof(CallerRegisters, argument) == 112);
static_assert(offsetof(CallerRegisters, result) == 120);
static_assert(offsetof(CallerRegisters, d8_to_d15) == 128);

inline CallerRegisters CallerRegistersAtCall(_Unwind_Context* context,
                                             std::uintptr_t cfa) {
  // Their numbers in DWARF (DWARF for the Arm 64-bit Architecture, 4.1).
  constexpr int kX19 = 19;
  constexpr int kX29 = 29;
  constexpr int kD8 = 64 + 8;
  CallerRegisters registers = {};
  for (int i = 0; i < 10; ++i) {
    registers.x19_to_x28[i] = _Unwind_GetGR(context, kX19 + i);
  }
  for (int i = 0; i < 8; ++i) {
    registers.d8_to_d15[i] = _Unwind_GetGR(context, kD8 + i);
  }
  registers.x29 = _Unwind_GetGR(context, kX29);
  registers.x30 = _Unwind_GetIP(context);
  registers.sp = cfa;
  return registers;
}

inline void SetCall(CallerRegisters* registers, void (*target)(),
                    void* return_slot, void* argument) {
  registers->target = reinterpret_cast<std::uintptr_t>(target);
  registers->argument = reinterpret_cast<std::uintptr_t>(argument);
  registers->result = reinterpret_cast<std::uintptr_t>(return_slot);
}

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_AARCH64_H_
