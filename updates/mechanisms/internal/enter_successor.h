// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The jump that ends a replacement (updates/mechanisms/replace_activation.h).

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_H_

#include <cstddef>
#include <cstdint>

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

extern "C" [[noreturn]] __attribute__((visibility("hidden"))) void
instar_enter_successor(const CallerRegisters* registers);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_H_
