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
// end. Opening one that has grown beyond kJournalLimit drops its older half;
// who writes and who drops exclude each other by a lock that is held for that
// moment. A process that is stopped in it keeps nobody: after 0.2 s an entry is
// written without the lock (and is lost if the journal is shortened just then),
// and nothing is dropped.
//
// A path that cannot be used any more (its folder was removed, or the process
// has become another user's) is asked for again.
//
// Errors: if the latest entry could not be written, the error is what Read()
// answers; the update that it tells of has happened all the same. A line that
// is no entry (cut off by a full disk) is skipped.
//
// Threads: any.

#ifndef INSTAR_MANAGER_INTERNAL_JOURNAL_H_
#define INSTAR_MANAGER_INTERNAL_JOURNAL_H_

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/control/control_service.h"

namespace instar {

// That of a program is called PROGRAM.journal.
inline constexpr char kJournalSuffix[] = ".journal";

inline constexpr std::size_t kJournalLimit = 1 << 20;  // bytes

class Journal {
 public:
  // `find_path`, if given, says where it is from now on, when the path that was
  // known cannot be opened.
  using FindPath = std::function<absl::StatusOr<std::string>()>;
  explicit Journal(std::string path, FindPath find_path = nullptr);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  void Add(absl::string_view event, absl::string_view update = "",
           absl::string_view detail = "");

  // Why the latest entry is not in it; OK: it is.
  absl::Status status() const;

  absl::StatusOr<std::vector<JournalEntry>> Read() const;

 private:
  void DropOlderHalf();

  const FindPath find_path_;
  mutable std::mutex lock_;
  std::string path_;     // guarded by lock_
  absl::Status status_;  // the latest write's; guarded by lock_
};

// What the programs of one name have left: for who asks when none runs.
struct StoredJournal {
  std::string program;
  std::string path;
};

// Those in this folder, by name.
absl::StatusOr<std::vector<StoredJournal>> FindJournals(
    const std::string& directory);

// Reads one without changing it.
absl::StatusOr<std::vector<JournalEntry>> ReadJournal(const std::string& path);

}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_JOURNAL_H_
