// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/internal/machine_context_fcontext.h"

#include "continuation/paused_context.h"

namespace instar {
namespace continuation_internal {

extern "C" void instar_continulet_main(MachineContext* context);

namespace {

using boost::context::detail::transfer_t;

// The floating-point environment is the thread's, and jump_fcontext() has
// brought that of the computation that goes on.
inline void SaveEnvironment([[maybe_unused]] MachineContext* from) {
#if defined(__x86_64__)
  __asm__ volatile("stmxcsr %0" : "=m"(from->mxcsr));
  __asm__ volatile("fnstcw %0" : "=m"(from->fcw));
#endif
}
inline void RestoreEnvironment([[maybe_unused]] const MachineContext* from) {
#if defined(__x86_64__)
  __asm__ volatile("ldmxcsr %0" ::"m"(from->mxcsr));
  __asm__ volatile("fldcw %0" ::"m"(from->fcw));
#endif
}

// `transfer` comes from a computation that has just been paused.
inline void Arrive(const transfer_t& transfer) {
  auto* const from = static_cast<MachineContext*>(transfer.data);
  from->fcontext = transfer.fctx;
  RestoreEnvironment(from);
}

}  // namespace

// In a section of its own, so that its code has two ends.
#define INSTAR_CONTINULET_BASE \
  __attribute__((section("instar_continulet_base")))

extern "C" INSTAR_CONTINULET_BASE void instar_continulet_start(
    transfer_t transfer) {
  // Nobody called this: the stack ends.
#if defined(__x86_64__)
  __asm__ volatile(".cfi_undefined rip");
  __asm__ volatile("movq $0, (%0)" ::"r"(__builtin_frame_address(0))
                   : "memory");
#elif defined(__aarch64__)
  __asm__ volatile(".cfi_undefined x30");
  __asm__ volatile("stp xzr, xzr, [%0]" ::"r"(__builtin_frame_address(0))
                   : "memory");
#endif
  MachineContext* const self =
      static_cast<MachineContext*>(transfer.data)->target;
  Arrive(transfer);
  instar_continulet_main(self);
  __builtin_trap();  // it does not return
}

__attribute__((noinline)) void SwitchMachineContext(MachineContext* from,
                                                    MachineContext* to) {
  const auto* const frame =
      static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  from->pc = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  from->sp = reinterpret_cast<std::uintptr_t>(__builtin_dwarf_cfa());
  from->fp = frame[0];
  from->target = to;
  SaveEnvironment(from);
  Arrive(boost::context::detail::jump_fcontext(to->fcontext, from));
}

}  // namespace continuation_internal

extern "C" const char __start_instar_continulet_base[];
extern "C" const char __stop_instar_continulet_base[];

bool IsContinuletBase(std::uintptr_t pc) {
  return pc >=
             reinterpret_cast<std::uintptr_t>(__start_instar_continulet_base) &&
         pc < reinterpret_cast<std::uintptr_t>(__stop_instar_continulet_base);
}

}  // namespace instar
