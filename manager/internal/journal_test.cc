// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/journal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using testing::HasSubstr;

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = absl::StrCat(testing::TempDir(), "/journal_", getpid());
    unlink(path_.c_str());
  }
  void TearDown() override { unlink(path_.c_str()); }

  std::vector<JournalEntry> Read() {
    auto entries = Journal(path_).Read();
    EXPECT_TRUE(entries.ok()) << entries.status();
    return entries.ok() ? *entries : std::vector<JournalEntry>();
  }

  std::string path_;
};

TEST_F(JournalTest, OutlivesItsWriter) {
  const SystemTime before =
      std::chrono::system_clock::now() - std::chrono::milliseconds(1);
  Journal(path_).Add("started");
  Journal(path_).Add("applied", "ratings", "\"quoted\"\n and \xff");
  const std::vector<JournalEntry> entries = Read();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].event, "started");
  EXPECT_EQ(entries[0].update, "");
  EXPECT_EQ(entries[0].pid, getpid());
  EXPECT_GE(entries[0].time, before);
  EXPECT_EQ(entries[1].update, "ratings");
  EXPECT_THAT(entries[1].detail, HasSubstr("\"quoted\"\n and "));
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(JournalTest, NoEntryIsLostBetweenThreads) {
  Journal one(path_), two(path_);
  std::vector<std::thread> threads;
  for (Journal* journal : {&one, &two}) {
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([journal] {
        for (int j = 0; j < 100; ++j) journal->Add("applied", "x");
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Read().size(), 400u);
}

TEST_F(JournalTest, LinesThatAreNoEntriesAreSkipped) {
  Journal(path_).Add("started");
  std::ofstream(path_, std::ios::app)
      << "{\"time_ms\": 1, \"ev\nnull\n{}\n{\"pid\": \"x\"}\n";
  Journal(path_).Add("ended");
  const std::vector<JournalEntry> entries = Read();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].event, "ended");
}

TEST_F(JournalTest, TheOlderHalfOfALongOneIsDropped) {
  {
    Journal journal(path_);
    const std::string detail(kJournalLimit / 100, 'x');
    for (int i = 0; i < 120; ++i)
      journal.Add("applied", absl::StrCat(i), detail);
  }
  const std::vector<JournalEntry> entries = Read();
  ASSERT_FALSE(entries.empty());
  EXPECT_GT(entries.size(), 40u);
  EXPECT_LT(entries.size(), 70u);
  EXPECT_EQ(entries.back().update, "119");
}

// The lock goes with whoever takes it.
TEST_F(JournalTest, AForkedChildKeepsNoLock) {
  Journal journal(path_);
  std::atomic<bool> has_ended{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!has_ended) journal.Add("applied", "x");
    });
  }
  std::vector<pid_t> children;
  for (int i = 0; i < 300; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      while (true) pause();
    }
    children.push_back(child);
  }
  has_ended = true;
  // Before the threads are waited for: they would wait for the lock. If a child
  // has it, nobody ever gets it.
  alarm(60);
  for (int i = 0; i < 2; ++i) {
    const int file = open(path_.c_str(), O_RDWR | O_CREAT, 0600);
    ASSERT_GE(file, 0);
    EXPECT_EQ(flock(file, LOCK_EX), 0);
    close(file);
  }
  alarm(0);
  for (const pid_t child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(JournalTest, AProcessThatIsStoppedWithTheLockKeepsNobody) {
  const int file = open(path_.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(flock(file, LOCK_EX), 0);
  Journal(path_).Add("applied", "ratings");
  const std::vector<JournalEntry> entries = Read();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].update, "ratings");
  close(file);
}

TEST_F(JournalTest, APathThatCannotBeUsedIsAskedForAgain) {
  Journal journal(absl::StrCat(path_, "/no/such/folder"),
                  [this] { return path_; });
  journal.Add("started");
  const auto entries = journal.Read();
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->size(), 1u);
  EXPECT_EQ(Read().size(), 1u);
}

TEST_F(JournalTest, WhatCannotBeWrittenIsSaid) {
  Journal journal(absl::StrCat(path_, "/no/such/folder"));
  journal.Add("started");
  const auto entries = journal.Read();
  EXPECT_EQ(entries.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(entries.status().message()),
              HasSubstr("/no/such/folder"));
}

}  // namespace
}  // namespace instar
