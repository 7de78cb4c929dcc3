// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Unloads modules that were generated and are not applied any more, on request:
// once nothing leads into them.
//
//   INSTAR_ASSIGN_OR_RETURN(UnloadReport report, UnloadModules("fix", {}));
//
// Whether something does is found out by a look at all of the process's memory
// (manager/module/scan/reference_scan.h). As it knows no types, it may see what
// is nothing; then a module stays loaded, and the reason is named. What leads
// into a module that goes on from it, and is loaded, keeps it, too.
//
// Threads: one at a time, which is the one that loads modules and applies
// updates, and none that is held. The program's threads are held for as long as
// the look takes, up to UnloadOptions::longest_hold.

#ifndef INSTAR_MANAGER_MODULE_MODULE_UNLOADER_H_
#define INSTAR_MANAGER_MODULE_MODULE_UNLOADER_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "manager/module/unload_report.h"

namespace instar {

struct UnloadOptions {
  std::chrono::nanoseconds longest_hold = std::chrono::milliseconds(100);
};

// All modules of the update of this name.
// Errors: NotFound; FailedPrecondition if it, or an update that goes on from
// it, is applied, or if it is one that was not generated.
absl::StatusOr<UnloadReport> UnloadModules(const std::string& update,
                                           const UnloadOptions& options);

std::vector<KeptReport> ListKeptModules();

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_MODULE_UNLOADER_H_
