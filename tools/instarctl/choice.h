// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which of the programs that run an instarctl command is for, and which file.
//
// Threads: all functions may be called from any thread.

#ifndef INSTAR_TOOLS_INSTARCTL_CHOICE_H_
#define INSTAR_TOOLS_INSTARCTL_CHOICE_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "manager/control/control_service.h"
#include "manager/control/socket_directory.h"

namespace instar {
namespace instarctl {

// For which program a module was built, and for which builds of it, of which a
// bundle has several (manager/module/module_file.h); empty: unknown.
struct BuiltFor {
  std::string program;  // the last part of its path
  std::vector<std::string> build_ids;
};

// Whether a process is what --program names: its name, or its number.
bool IsNamed(const std::string& wanted, const std::string& name, pid_t pid);

// The program named `wanted` or with that number. If `wanted` is empty: the
// only one; of several the only one of the module's build, or else the only one
// of its name. `ask` tells what a program says of itself. Errors: NotFound,
// which lists the programs that there are, and says how to choose.
absl::StatusOr<RunningProgram> ChooseProgram(
    const std::vector<RunningProgram>& programs, const std::string& wanted,
    const BuiltFor& built_for,
    absl::FunctionRef<absl::StatusOr<ProgramReport>(const RunningProgram&)>
        ask);

// Of the processes that have no manager yet, the one that is wanted if no
// program of `programs` is: it has started one then. Nothing if there is none
// that is wanted. Errors: those of Wake(); NotFound if several have the name.
absl::StatusOr<std::optional<RunningProgram>> WakeChosen(
    const std::vector<RunningProgram>& programs, const std::string& wanted);

// The absolute path of a file that was named on the command line. `bazel run`
// changes the folder; BUILD_WORKING_DIRECTORY then says where the user is.
std::string AbsolutePath(const std::string& path);

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_CHOICE_H_
