// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Links a module by the compiler.

#ifndef INSTAR_TOOLS_DIFFER_LINK_H_
#define INSTAR_TOOLS_DIFFER_LINK_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace instar {
namespace differ {

// Runs `command` (a program, looked up in PATH, and its arguments), waits, and
// returns what it has written to standard error as an error if it fails.
absl::Status RunCommand(const std::vector<std::string>& command);

struct ModuleLink {
  std::string compiler;  // "c++"; may have arguments, by blanks
  std::vector<std::string> objects;
  std::vector<std::string> libraries;  // paths of shared ones
  std::string soname;
  std::string output;
};

// Writes `output` whole or not at all.
absl::Status LinkModule(const ModuleLink& link);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_LINK_H_
