// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Two functions with patchable entries, which nobody calls but the probe
// (code/program_check/patching_probe.h).

#ifndef INSTAR_CODE_PROGRAM_CHECK_PATCHING_PROBE_FUNCTIONS_H_
#define INSTAR_CODE_PROGRAM_CHECK_PATCHING_PROBE_FUNCTIONS_H_

namespace instar {
namespace code_internal {

int PatchingProbe1();  // 1
int PatchingProbe2();  // 2

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_PROGRAM_CHECK_PATCHING_PROBE_FUNCTIONS_H_
