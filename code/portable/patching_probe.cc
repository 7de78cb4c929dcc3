// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where functions have no entries (code/entries_here.h).

#include "code/program_check/patching_probe.h"

#include "code/entries_here.h"

namespace instar {

absl::Status ProbePatching() { return CheckFunctionEntries(); }

}  // namespace instar
