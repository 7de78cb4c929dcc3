// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a function of this library was called. Internal.

#ifndef INSTAR_THREADS_INTERNAL_SNAPSHOT_AT_CALL_H_
#define INSTAR_THREADS_INTERNAL_SNAPSHOT_AT_CALL_H_

#include <cstdint>

#include "stack/stack_snapshot.h"

// Of a function that takes such a snapshot.
// clang does not know the attribute; the tree is built with frame pointers
// there.
#ifdef __clang__
#define INSTAR_WITH_FRAME_POINTER __attribute__((noinline))
#else
#define INSTAR_WITH_FRAME_POINTER \
  __attribute__((noinline, optimize("no-omit-frame-pointer")))
#endif

// The caller of the function whose frame this is, at that call. Not where it is
// captured, but at a call: there its exception table says what is true of it.
#define INSTAR_SNAPSHOT_AT_MY_CALL()                                   \
  ::instar::SnapshotAtEntry(                                           \
      reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)),   \
      reinterpret_cast<std::uintptr_t>(__builtin_dwarf_cfa()),         \
      *static_cast<const std::uintptr_t*>(__builtin_frame_address(0)), \
      ::instar::StackOfCaller())

#endif  // INSTAR_THREADS_INTERNAL_SNAPSHOT_AT_CALL_H_
