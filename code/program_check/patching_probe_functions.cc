// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_check/patching_probe_functions.h"

namespace instar {
namespace code_internal {

int PatchingProbe1() { return 1; }
int PatchingProbe2() { return 2; }

}  // namespace code_internal
}  // namespace instar
