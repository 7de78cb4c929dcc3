// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Chooses the processor's way of switching from one stack to another. Each
// machine_context_<processor>.h defines MachineContext, PrepareMachineContext()
// and SwitchMachineContext(), and says what is saved and what is not.

#ifndef INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_H_
#define INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_H_

#if defined(__x86_64__) && defined(__linux__)
#include "continuation/internal/machine_context_x86_64.h"  // IWYU pragma: export
#else
#error "Continulets are implemented for x86-64 Linux only."
#endif

#endif  // INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_H_
