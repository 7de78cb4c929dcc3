// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// By what this process's program is known, and what it has loaded. May be
// called from any thread.

#ifndef INSTAR_MANAGER_MODULE_OWN_PROGRAM_H_
#define INSTAR_MANAGER_MODULE_OWN_PROGRAM_H_

#include <string>

namespace instar {

// The NT_GNU_BUILD_ID of the program in hexadecimal digits; empty if the linker
// was told to give it none. Read once.
const std::string& OwnBuildId();

// The last part of its path. Read once.
const std::string& OwnProgramName();

// Whether the program or a shared object that is loaded now has this build id.
bool IsLoadedBuild(const std::string& build_id);

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_OWN_PROGRAM_H_
