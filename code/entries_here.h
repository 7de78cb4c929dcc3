// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether functions have entries that can be changed on this processor
// (docs/processors.md). Where they have none, whatever redirects or intercepts
// entries is refused with Unimplemented; what is to be redefined there is
// called through a slot (code/updatable_function.h, code/redefinable.h).

#ifndef INSTAR_CODE_ENTRIES_HERE_H_
#define INSTAR_CODE_ENTRIES_HERE_H_

#include "absl/status/status.h"

#if !defined(__x86_64__) && !defined(INSTAR_NO_FUNCTION_ENTRIES)
#define INSTAR_NO_FUNCTION_ENTRIES 1
#endif

namespace instar {

#ifdef INSTAR_NO_FUNCTION_ENTRIES
inline constexpr bool kHasFunctionEntries = false;
#else
inline constexpr bool kHasFunctionEntries = true;
#endif

// OK, or the error with which they are refused.
inline absl::Status CheckFunctionEntries() {
  return kHasFunctionEntries
             ? absl::OkStatus()
             : absl::UnimplementedError(
                   "no function entries on this processor: use a Redefinable");
}

}  // namespace instar

#endif  // INSTAR_CODE_ENTRIES_HERE_H_
