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
// UBSan takes for an error: also, since GCC forgets the attribute, in a
// function into which this one was inlined. GCC does not say whether UBSan is
// on:
// --config=ubsan defines INSTAR_UBSAN.

#ifndef INSTAR_BASE_FORCED_UNWIND_H_
#define INSTAR_BASE_FORCED_UNWIND_H_

#include <cxxabi.h>

#ifdef INSTAR_UBSAN
#define INSTAR_CATCHES_FORCED_UNWIND \
  __attribute__((no_sanitize("null"), noinline))
#else
#define INSTAR_CATCHES_FORCED_UNWIND __attribute__((no_sanitize("null")))
#endif

#endif  // INSTAR_BASE_FORCED_UNWIND_H_
