// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/linux/own_descriptor.h"
#include "manager/control/closed_in_child.h"
#include "manager/module/file_descriptor.h"
#include "nlohmann/json.hpp"

namespace instar {
namespace {

using manager_internal::ClosedInChild;
using manager_internal::FileDescriptor;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr timespec kStep = {0, 10'000'000};  // 10 ms
constexpr int kPatienceInSteps = 20;

// An open journal, locked if nobody else keeps the lock for too long. A child
// that is forked meanwhile has neither the file nor the lock.
class OpenJournal {
 public:
  static absl::StatusOr<std::unique_ptr<OpenJournal>> Open(
      const std::string& path) {
    while (true) {
      std::unique_ptr<OpenJournal> journal(new OpenJournal(
          open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600)));
      if (!journal->file_.is_open()) {
        return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
      }
      if (!journal->Lock()) return journal;
      // Another process may have put a shorter one in its place meanwhile.
      struct stat opened, named;
      if (fstat(journal->number(), &opened) == 0 &&
          stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
          opened.st_dev == named.st_dev) {
        return journal;
      }
    }
  }
  // Not left to close(): whoever has got a descriptor of the same open file in
  // another way would keep the lock.
  ~OpenJournal() {
    if (is_locked_) flock(number(), LOCK_UN);
  }

  // -1 if the program has closed it.
  int number() const { return file_.number(); }
  bool is_locked() const { return is_locked_; }

 private:
  explicit OpenJournal(int file) : file_(file) {
    if (file_.is_open()) closed_in_child_.emplace(&file_);
  }

  bool Lock() {
    for (int step = 0; flock(number(), LOCK_EX | LOCK_NB) != 0;) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK || ++step > kPatienceInSteps) return false;
      nanosleep(&kStep, nullptr);
    }
    return is_locked_ = true;
  }

  OwnDescriptor file_;
  std::optional<ClosedInChild> closed_in_child_;
  bool is_locked_ = false;
};

absl::Status WriteAll(int file, absl::string_view text,
                      const std::string& path) {
  while (!text.empty()) {
    const ssize_t wrote = write(file, text.data(), text.size());
    if (wrote > 0) {
      text.remove_prefix(static_cast<std::size_t>(wrote));
    } else if (wrote == 0 || errno != EINTR) {
      return absl::ErrnoToStatus(wrote == 0 ? ENOSPC : errno,
                                 absl::StrCat("cannot write to ", path));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Journal::Journal(std::string path, FindPath find_path)
    : find_path_(std::move(find_path)), path_(std::move(path)) {
  DropOlderHalf();
}

void Journal::DropOlderHalf() {
  struct stat info;
  if (stat(path_.c_str(), &info) != 0 ||
      info.st_size <= static_cast<off_t>(kJournalLimit)) {
    return;
  }
  const auto old_file = OpenJournal::Open(path_);
  if (!old_file.ok()) {
    status_ = old_file.status();
    return;
  }
  if (!(*old_file)->is_locked()) return;  // the next one that starts does it
  std::ifstream in(path_, std::ios::binary);
  in.seekg(info.st_size / 2);
  std::string line;
  std::getline(in, line);  // the rest of one
  const std::string shorter = absl::StrCat(path_, ".", getpid());
  const FileDescriptor file(
      open(shorter.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.number() < 0) {
    status_ = absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", shorter));
    return;
  }
  while (status_.ok() && std::getline(in, line)) {
    status_ = WriteAll(file.number(), line + "\n", shorter);
  }
  if (status_.ok() && rename(shorter.c_str(), path_.c_str()) != 0) {
    status_ =
        absl::ErrnoToStatus(errno, absl::StrCat("cannot replace ", path_));
  }
  if (!status_.ok()) unlink(shorter.c_str());
}

void Journal::Add(absl::string_view event, absl::string_view update,
                  absl::string_view detail) {
  const json entry = {
      {"time_ms", std::chrono::duration_cast<milliseconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count()},
      {"pid", getpid()},
      {"event", std::string(event)},
      {"update", std::string(update)},
      {"detail", std::string(detail)},
  };
  // What a module says need not be UTF-8.
  const std::string line =
      entry.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  std::lock_guard<std::mutex> lock(lock_);
  auto file = OpenJournal::Open(path_);
  if (!file.ok() && find_path_ != nullptr) {
    absl::StatusOr<std::string> path = find_path_();
    if (path.ok() && *path != path_) path_ = *std::move(path);
    file = OpenJournal::Open(path_);
  }
  status_ =
      file.ok() ? WriteAll((*file)->number(), line, path_) : file.status();
}

absl::Status Journal::status() const {
  std::lock_guard<std::mutex> lock(lock_);
  return status_;
}

absl::StatusOr<std::vector<JournalEntry>> Journal::Read() const {
  std::lock_guard<std::mutex> lock(lock_);
  if (!status_.ok()) {
    return absl::Status(
        status_.code(),
        absl::StrCat("the journal is incomplete: ", status_.message()));
  }
  return ReadJournal(path_);
}

absl::StatusOr<std::vector<StoredJournal>> FindJournals(
    const std::string& directory) {
  DIR* const stream = opendir(directory.c_str());
  if (stream == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", directory));
  }
  const absl::Cleanup close = [stream] { closedir(stream); };
  std::vector<StoredJournal> journals;
  while (const dirent* entry = readdir(stream)) {
    absl::string_view name = entry->d_name;
    if (!absl::ConsumeSuffix(&name, kJournalSuffix) || name.empty()) continue;
    journals.push_back(
        {std::string(name), absl::StrCat(directory, "/", entry->d_name)});
  }
  std::sort(journals.begin(), journals.end(),
            [](const StoredJournal& a, const StoredJournal& b) {
              return a.program < b.program;
            });
  return journals;
}

absl::StatusOr<std::vector<JournalEntry>> ReadJournal(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  }
  std::vector<JournalEntry> entries;
  for (std::string line; std::getline(in, line);) {
    const json entry = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object()) continue;
    JournalEntry& read = entries.emplace_back();
    try {
      read.time = SystemTime(milliseconds(entry.at("time_ms").get<int64_t>()));
      read.pid = entry.at("pid").get<pid_t>();
      entry.at("event").get_to(read.event);
      entry.at("update").get_to(read.update);
      entry.at("detail").get_to(read.detail);
    } catch (const json::exception&) {
      entries.pop_back();
    }
  }
  return entries;
}

}  // namespace instar
