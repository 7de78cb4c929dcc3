// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// pthread_exit() and pthread_cancel() end a thread by a forced unwinding, which
// catch (...) would swallow, and which has to be let through:
//
//   INSTAR_CATCHES_FORCED_UNWIND void Run() {
//     try {
//       ...
//     } catch (const abi::__forced_unwind&) {
//       throw;
//     } catch (...) {
//       ...
//     }
//   }
//
// It has no exception object, so that this reference refers to nothing, which
// UBSan takes for an error.

#ifndef INSTAR_BASE_FORCED_UNWIND_H_
#define INSTAR_BASE_FORCED_UNWIND_H_

#include <cxxabi.h>

#define INSTAR_CATCHES_FORCED_UNWIND __attribute__((no_sanitize("null")))

#endif  // INSTAR_BASE_FORCED_UNWIND_H_
