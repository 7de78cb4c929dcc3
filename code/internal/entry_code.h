// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The code that a thread runs between the entry of an intercepted function and
// the version that it goes on to: for those who find threads interrupted there,
// on no stack of the function, but about to begin it.
//
// Internal to this library.

#ifndef INSTAR_CODE_INTERNAL_ENTRY_CODE_H_
#define INSTAR_CODE_INTERNAL_ENTRY_CODE_H_

#include <cstdint>

namespace instar {
namespace code_internal {

// Below the canonical frame address of the thunk, at each of its instructions:
// the place that says where it goes on.
inline constexpr uintptr_t kEntrySlotBelowFrame = 16;

struct EntryCode {
  const char* begin;  // of the thunk, and of what it looks up with
  const char* end;
};

// Weak: null in a program that intercepts nothing.
extern "C" const EntryCode instar_entry_code __attribute__((weak));

#define INSTAR_ENTRY_CODE __attribute__((section("instar_entry"), used))

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_ENTRY_CODE_H_
