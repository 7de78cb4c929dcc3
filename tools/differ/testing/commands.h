// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Of programs that are updated by tests: commands on standard input, what they
// do on standard output.

#ifndef INSTAR_TOOLS_DIFFER_TESTING_COMMANDS_H_
#define INSTAR_TOOLS_DIFFER_TESTING_COMMANDS_H_

#include <string>

#include "absl/functional/function_ref.h"

namespace instar {

// Until the end of the input: `load FILE`, `undo` (the last of those that are
// applied), and others, which go to `run`. What fails is printed.
void RunCommands(absl::FunctionRef<void(const std::string& command)> run);

}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_TESTING_COMMANDS_H_
