// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The jump that ends a replacement (updates/mechanisms/replace_activation.h).
// Each enter_successor_<processor>.h defines CallerRegisters, and
//
//   // The registers of a frame, whose callee's canonical frame address is
//   // `cfa`, as they are when the callee begins. From the context of the frame.
//   CallerRegisters CallerRegistersAtCall(_Unwind_Context* context,
//                                         std::uintptr_t cfa);
//   // What is called, and with what: where it builds its result, or null, and
//   // its argument.
//   void SetCall(CallerRegisters* registers, void (*target)(),
//                void* return_slot, void* argument);

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_H_

#if defined(__x86_64__)
#include "updates/mechanisms/internal/enter_successor_x86_64.h"  // IWYU pragma: export
#elif defined(__aarch64__)
#include "updates/mechanisms/internal/enter_successor_aarch64.h"  // IWYU pragma: export
#else
#error "activations are not replaced on this processor yet"
#endif

namespace instar {
namespace updates_internal {

extern "C" [[noreturn]] __attribute__((visibility("hidden"))) void
instar_enter_successor(const CallerRegisters* registers);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_ENTER_SUCCESSOR_H_
