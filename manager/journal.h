// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What happened to the programs of one name: started, updated, ended. A file of
// lines of JSON that outlives them, so that a program which was started anew,
// and is as it was built again, has a record of the updates that it had.
//
//   Journal journal("/run/user/1000/instar/site_manager.journal");
//   journal.Add("applied", "ratings", "3 threads held 41 us at most");
//   absl::StatusOr<std::vector<JournalEntry>> entries = journal.Read();
//
// Several processes may write to one journal: each entry is one write at its
// end. Opening one that has grown beyond kJournalLimit drops its older half.
//
// Errors: if the latest entry could not be written, the error is what Read()
// answers; the update that it tells of has happened all the same. A line that
// is no entry (cut off by a full disk) is skipped.
//
// Threads: any.

#ifndef INSTAR_MANAGER_JOURNAL_H_
#define INSTAR_MANAGER_JOURNAL_H_

#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/control_service.h"

namespace instar {

inline constexpr std::size_t kJournalLimit = 1 << 20;  // bytes

class Journal {
 public:
  explicit Journal(std::string path);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::string& path() const { return path_; }

  void Add(absl::string_view event, absl::string_view update = "",
           absl::string_view detail = "");

  absl::StatusOr<std::vector<JournalEntry>> Read() const;

 private:
  void DropOlderHalf();

  const std::string path_;
  mutable std::mutex lock_;
  absl::Status status_;  // the latest write's
};

}  // namespace instar

#endif  // INSTAR_MANAGER_JOURNAL_H_
