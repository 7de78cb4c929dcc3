// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Switching stacks on x86-64 (System V psABI, section 3.2).
//
// What is saved: the instruction, stack and frame pointers. What is not: every
// other register. SwitchMachineContext() is inlined and declares them all
// clobbered, so the compiler spills those that are live and no others; that,
// and the `jmp` in the place of a `ret` that the return predictor would get
// wrong, is why this is several times cheaper than a call of a function that
// switches.
//
// The control words of SSE and x87 (MXCSR, FCW) are left alone: the
// floating-point environment belongs to the thread. (Storing MXCSR at each
// switch alone would double the cost of the switch.) A shadow stack (CET) is
// not switched: Linux has none switched on for the programs of Debian 12.

#ifndef INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_X86_64_H_
#define INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_X86_64_H_

#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"

namespace instar {
namespace continuation_internal {

struct MachineContext {
  std::uintptr_t pc;
  std::uintptr_t sp;
  std::uintptr_t fp;
};

// The assembly below and in continulet_start_x86_64.S counts on these.
static_assert(offsetof(MachineContext, pc) == 0);
static_assert(offsetof(MachineContext, sp) == 8);
static_assert(offsetof(MachineContext, fp) == 16);

// Where every continulet starts: calls instar_continulet_main(context) with the
// context that was switched to. Its call frame information says that nothing
// called it, so debuggers, profilers and unwinders stop there.
extern "C" void instar_continulet_start();
extern "C" char instar_continulet_start_end;

// Makes `context` start at instar_continulet_start() on the stack that ends
// at `stack_high` (a multiple of 16).
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void PrepareMachineContext(
    MachineContext* context, std::uintptr_t stack_high) {
  context->pc = reinterpret_cast<std::uintptr_t>(&instar_continulet_start);
  context->sp = stack_high;
  context->fp = 0;
}

#ifdef __AVX512F__
#define INSTAR_AVX512_CLOBBERS                                                \
  , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",   \
      "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", \
      "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define INSTAR_AVX512_CLOBBERS
#endif

// Pauses the calling computation in `*from` and goes on with `*to`. Returns
// when something switches to `*from`.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void SwitchMachineContext(
    MachineContext* from, MachineContext* to) {
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\t"
      "movq %%rax, 0(%[from])\n\t"
      "movq %%rsp, 8(%[from])\n\t"
      "movq %%rbp, 16(%[from])\n\t"
      "movq 8(%[to]), %%rsp\n\t"
      "movq 16(%[to]), %%rbp\n\t"
      "jmpq *0(%[to])\n"
      "1:\n\t"
      : [from] "+D"(from), [to] "+S"(to)
      :
      : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
        "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
        "xmm15" INSTAR_AVX512_CLOBBERS, "st", "st(1)", "st(2)", "st(3)",
        "st(4)", "st(5)", "st(6)", "st(7)", "memory", "cc");
}

#undef INSTAR_AVX512_CLOBBERS

}  // namespace continuation_internal
}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_X86_64_H_
