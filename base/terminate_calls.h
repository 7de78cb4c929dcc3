// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether the code behind a landing pad can reach std::terminate. Part of
// base/exception_table.h.
//
// The bytes of the function (its .cold part too) are searched for calls of
// std::terminate: direct, through the procedure linkage table, through the
// global offset table, and through clang's __clang_call_terminate. The search
// does not follow what is executed, so it may find a call where there is none
// (on x86-64 a 32-bit constant that happens to lead there, on arm64 a load
// whose place is the sum of two constants that do not belong together), and
// never overlooks one.
//
// Threads: any. Lock-free and async-signal-safe.

#ifndef INSTAR_BASE_TERMINATE_CALLS_H_
#define INSTAR_BASE_TERMINATE_CALLS_H_

#include <cstdint>

namespace instar {
namespace base_internal {

bool CanReachTerminate(std::uintptr_t landing_pad);

}  // namespace base_internal
}  // namespace instar

#endif  // INSTAR_BASE_TERMINATE_CALLS_H_
