// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Switching stacks by Boost.Context's fcontext, on every processor that has no
// file of its own here.
//
// jump_fcontext() saves all registers that a called function has to preserve.
// On x86-64 these include the control words of SSE and x87, which belong to the
// thread here: they are carried over. A switch costs about half as much again
// as on x86-64's own way, and a call that the return predictor gets wrong.
//
// What a stack walker needs is noted beside: where the function that switches
// goes on. Its callee-saved registers are where jump_fcontext() has put them,
// so a walk can tell no more than the frame of the caller and what its call
// frame information derives from the stack and frame pointers.

#ifndef INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_FCONTEXT_H_
#define INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_FCONTEXT_H_

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"

namespace instar {
namespace continuation_internal {

struct MachineContext {
  std::uintptr_t pc;  // program counter,
  std::uintptr_t sp;  // stack pointer, and
  std::uintptr_t fp;  // frame pointer of the function that has switched
  boost::context::detail::fcontext_t fcontext;
  // While another context is switched to from this one: that.
  MachineContext* target;
  std::uint32_t mxcsr;  // x86-64's control words then
  std::uint16_t fcw;
};

// Where every continulet starts: calls instar_continulet_main() with the
// context that was switched to. Nothing called it, as far as unwinders see.
extern "C" void instar_continulet_start(
    boost::context::detail::transfer_t transfer);

// Makes `context` start at instar_continulet_start() on the stack that ends at
// `stack_high` (a multiple of 16).
inline void PrepareMachineContext(MachineContext* context,
                                  std::uintptr_t stack_high) {
  // The size is not used: there is no lowest address.
  context->fcontext = boost::context::detail::make_fcontext(
      reinterpret_cast<void*>(stack_high), 0, &instar_continulet_start);
  context->pc = reinterpret_cast<std::uintptr_t>(&instar_continulet_start);
  context->sp = stack_high;
  context->fp = 0;
}

// Pauses the calling computation in `*from` and goes on with `*to`. Returns
// when something switches to `*from`. Not inlined: the caller's frame is where
// a walk begins.
void SwitchMachineContext(MachineContext* from, MachineContext* to);

}  // namespace continuation_internal
}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_FCONTEXT_H_
