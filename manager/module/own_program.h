// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// By what this process's program is known. Read once; both functions are then
// as good as free. May be called from any thread.

#ifndef INSTAR_MANAGER_MODULE_OWN_PROGRAM_H_
#define INSTAR_MANAGER_MODULE_OWN_PROGRAM_H_

#include <string>

namespace instar {

// The NT_GNU_BUILD_ID of the program in hexadecimal digits; empty if the linker
// was told to give it none.
const std::string& OwnBuildId();

// The last part of its path.
const std::string& OwnProgramName();

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_OWN_PROGRAM_H_
