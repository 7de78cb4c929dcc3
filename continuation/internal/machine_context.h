// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Chooses the processor's way of switching from one stack to another. Each
// machine_context_<processor>.h defines MachineContext, PrepareMachineContext()
// and SwitchMachineContext(), and says what is saved and what is not.

#ifndef INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_H_
#define INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_H_

#if defined(__x86_64__) && !defined(INSTAR_PORTABLE)
#include "continuation/internal/machine_context_x86_64.h"  // IWYU pragma: export
#else
#include "continuation/internal/machine_context_fcontext.h"  // IWYU pragma: export
#endif

#endif  // INSTAR_CONTINUATION_INTERNAL_MACHINE_CONTEXT_H_
