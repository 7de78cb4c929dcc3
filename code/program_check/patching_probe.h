// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether changing code has an effect in this process.
//
//   const absl::Status patching = ProbePatching();
//   ...
//   if (!patching.ok()) return patching;   // instead of "applied"
//
// A function of this library is redirected, called and restored. Translators
// (valgrind, qemu-user) go on with what they have translated; a program may
// hide from us what it has loaded, or be forbidden to write its own code. That
// is found here, before an update says that it was applied.
//
// Errors: Unimplemented on processors without function entries
// (code/entries_here.h). FailedPrecondition if what was written has no effect,
// or if the function is not found: then none ever will. Otherwise those of
// code/internal/text_patch.h; Unavailable if something is in the way at this
// moment.
//
// Threads: from any thread. Takes locks and allocates; some 10 us.

#ifndef INSTAR_CODE_PROGRAM_CHECK_PATCHING_PROBE_H_
#define INSTAR_CODE_PROGRAM_CHECK_PATCHING_PROBE_H_

#include "absl/status/status.h"

namespace instar {

absl::Status ProbePatching();

}  // namespace instar

#endif  // INSTAR_CODE_PROGRAM_CHECK_PATCHING_PROBE_H_
