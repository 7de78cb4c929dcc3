// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What programs that have ended have left: which journal `instarctl log` shows
// where no program answers.
//
// Threads: all functions may be called from any thread.

#ifndef INSTAR_TOOLS_INSTARCTL_JOURNAL_H_
#define INSTAR_TOOLS_INSTARCTL_JOURNAL_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "manager/control/control_service.h"
#include "manager/internal/journal.h"

namespace instar {
namespace instarctl {

struct LeftJournal {
  std::string program;  // its name
  std::vector<JournalEntry> entries;
};

// All entries of the programs named `wanted`, oldest first; or, if that is the
// number of a process, those of that process. If it is empty, of the only
// program that has left any. Errors: NotFound, which lists what there is, and
// says how to choose; those of reading the chosen one.
absl::StatusOr<LeftJournal> ChooseJournal(
    const std::vector<StoredJournal>& journals, const std::string& wanted);

// Among those in the folders of this user (manager/control/socket_directory.h).
absl::StatusOr<LeftJournal> FindLeftJournal(const std::string& wanted);

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_JOURNAL_H_
