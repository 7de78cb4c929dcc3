// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Applies what is enabled for a program (manager/enabled/enabled_store.h), when
// it starts. For the manager; users see Manager::ApplyEnabled().
//
// One after the other, in the order in which they were enabled: what root has
// enabled first, and under the executable's name before another one. What
// cannot be applied is skipped, and the program starts all the same. A module
// is skipped without a try if
//
//   - it is for other builds of the program alone
//   - its file is missing, damaged, or not to be believed
//   - it is none that this Instar loads
//   - an update that it requires is not applied
//   - a mark says that it has crashed the program (manager/enabled/start_mark.h)
//   - no such mark can be set: a crash could not be told from then on
//   - the program has more rights than who started it
//   - no time is left
//
// Of several of one update for this build, the one that was enabled last
// counts.

#ifndef INSTAR_MANAGER_ENABLED_APPLY_ENABLED_H_
#define INSTAR_MANAGER_ENABLED_APPLY_ENABLED_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "manager/enabled/enabled_folders.h"
#include "manager/internal/journal.h"

namespace instar {
namespace manager_internal {

struct ApplyEnabledOptions {
  EnabledFolders folders;
  std::vector<std::string> programs;  // the names that it has
  std::string build_id;
  bool is_privileged = false;  // IsPrivilegedStart()
  // For all of them: what takes longer fails, and what comes after is skipped.
  std::chrono::nanoseconds limit = std::chrono::seconds(60);
};

// `load` applies a module within a time limit, and writes the journal. Returns
// a sentence for each update that is not applied; those that were skipped are
// in the journal as well.
std::vector<std::string> ApplyEnabled(
    const ApplyEnabledOptions& options, Journal& journal,
    absl::FunctionRef<absl::Status(const std::string& path,
                                   std::chrono::nanoseconds limit)>
        load);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_ENABLED_APPLY_ENABLED_H_
