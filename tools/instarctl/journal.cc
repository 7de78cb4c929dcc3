// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/journal.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/similar_names.h"
#include "base/status_macros.h"
#include "manager/control/socket_directory.h"

namespace instar {
namespace instarctl {
namespace {

struct Journals {
  // By program. There may be one of a name in each folder.
  std::map<std::string, std::vector<JournalEntry>> entries;
  std::map<std::string, absl::Status> errors;
};

Journals ReadAll(const std::vector<StoredJournal>& journals) {
  Journals all;
  for (const StoredJournal& journal : journals) {
    auto read = ReadJournal(journal.path);
    if (!read.ok()) {
      all.errors.emplace(journal.program, read.status());
      continue;
    }
    auto& entries = all.entries[journal.program];
    entries.insert(entries.end(), std::make_move_iterator(read->begin()),
                   std::make_move_iterator(read->end()));
  }
  for (auto& [program, entries] : all.entries) {
    std::stable_sort(entries.begin(), entries.end(),
                     [](const JournalEntry& a, const JournalEntry& b) {
                       return a.time < b.time;
                     });
  }
  return all;
}

// "shop (until 2023-11-14 22:13:20, process 4242)"
std::string Describe(const std::string& program,
                     const std::vector<JournalEntry>& entries) {
  if (entries.empty()) return absl::StrCat(program, " (empty)");
  return absl::StrCat(program, " (until ",
                      absl::FormatTime("%Y-%m-%d %H:%M:%S",
                                       absl::FromChrono(entries.back().time),
                                       absl::LocalTimeZone()),
                      ", process ", entries.back().pid, ")");
}

std::string List(
    const std::map<std::string, std::vector<JournalEntry>>& journals) {
  return absl::StrJoin(journals, ", ", [](std::string* out, const auto& each) {
    absl::StrAppend(out, Describe(each.first, each.second));
  });
}

}  // namespace

absl::StatusOr<LeftJournal> ChooseJournal(
    const std::vector<StoredJournal>& journals, const std::string& wanted) {
  Journals all = ReadAll(journals);
  if (wanted.empty()) {
    if (all.entries.size() == 1) {
      auto& [program, entries] = *all.entries.begin();
      return LeftJournal{program, std::move(entries)};
    }
    if (!all.entries.empty()) {
      return absl::NotFoundError(absl::StrCat(
          "no program is running, and several have left a journal: ",
          List(all.entries),
          "; choose one by --program NAME or --program PID"));
    }
    if (!all.errors.empty()) return all.errors.begin()->second;
    return absl::NotFoundError(
        "no program that can be updated is running as this user, and none has "
        "left a journal");
  }
  if (const auto found = all.entries.find(wanted); found != all.entries.end()) {
    return LeftJournal{wanted, std::move(found->second)};
  }
  if (const auto found = all.errors.find(wanted); found != all.errors.end()) {
    return found->second;
  }
  pid_t pid = 0;
  if (absl::SimpleAtoi(wanted, &pid)) {
    std::map<std::string, std::vector<JournalEntry>> of_process;
    for (auto& [program, entries] : all.entries) {
      for (JournalEntry& entry : entries) {
        if (entry.pid == pid) of_process[program].push_back(std::move(entry));
      }
    }
    if (of_process.size() == 1) {
      auto& [program, entries] = *of_process.begin();
      return LeftJournal{program, std::move(entries)};
    }
    if (!of_process.empty()) {
      return absl::NotFoundError(
          absl::StrCat("several programs have had the number ", pid, ": ",
                       List(of_process), "; choose one by --program NAME"));
    }
  }
  std::vector<std::string> names;
  for (const auto& [program, entries] : all.entries) names.push_back(program);
  return absl::NotFoundError(absl::StrCat(
      "no program \"", wanted, "\" is running, and none has left a journal",
      names.empty() ? "" : SimilarNamesText(wanted, names)));
}

absl::StatusOr<LeftJournal> FindLeftJournal(const std::string& wanted) {
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> directories,
                          FindSocketDirectories());
  std::vector<StoredJournal> journals;
  for (const std::string& directory : directories) {
    INSTAR_ASSIGN_OR_RETURN(const std::vector<StoredJournal> found,
                            FindJournals(directory));
    journals.insert(journals.end(), found.begin(), found.end());
  }
  return ChooseJournal(journals, wanted);
}

}  // namespace instarctl
}  // namespace instar
