// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The commands for updates that last: enable, disable, list; and bundle.
// They read and write files (manager/enabled/enabled_store.h), and ask no
// program: it may not run.
//
// `program` is the name of a program, or the number of a process that runs;
// empty: see each function. Each returns the lines to be printed.
//
// Threads: one.

#ifndef INSTAR_TOOLS_INSTARCTL_ENABLED_H_
#define INSTAR_TOOLS_INSTARCTL_ENABLED_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/instarctl/output.h"

namespace instar {
namespace instarctl {

// Without a program: for that for which the module was built.
absl::StatusOr<Lines> Enable(const std::string& module_path,
                             const std::string& program);

// Without a program: the only one for which it is enabled.
absl::StatusOr<Lines> Disable(const std::string& update,
                              const std::string& program);

// Without a program: for all.
absl::StatusOr<Lines> ListEnabled(const std::string& program,
                                  const Style& style);

absl::StatusOr<Lines> MakeBundle(const std::string& output,
                                 const std::vector<std::string>& modules);

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_ENABLED_H_
