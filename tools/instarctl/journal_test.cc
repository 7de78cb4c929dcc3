// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/journal.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace instarctl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class ChooseJournalTest : public testing::Test {
 protected:
  ChooseJournalTest() {
    char directory[] = "/tmp/instar-journal-test-XXXXXX";
    directory_ = mkdtemp(directory);
  }
  ~ChooseJournalTest() override { std::filesystem::remove_all(directory_); }

  // One entry for each of the processes.
  void Leave(const std::string& program, const std::vector<int>& pids) {
    std::ofstream out(directory_ + "/" + program + ".journal");
    for (const int pid : pids) {
      out << R"({"time_ms": 1700000000000, "pid": )" << pid
          << R"(, "event": "ended", "update": "", "detail": ""})"
          << "\n";
    }
  }

  absl::StatusOr<LeftJournal> Choose(const std::string& wanted) {
    const auto journals = FindJournals(directory_);
    if (!journals.ok()) return journals.status();
    return ChooseJournal(*journals, wanted);
  }
  // By what was asked for: the program, and the process of each entry.
  std::vector<std::string> Chosen(const std::string& wanted) {
    const absl::StatusOr<LeftJournal> left = Choose(wanted);
    if (!left.ok()) return {std::string(left.status().message())};
    std::vector<std::string> texts = {left->program};
    for (const JournalEntry& entry : left->entries) {
      texts.push_back(std::to_string(entry.pid));
    }
    return texts;
  }

  std::string directory_;
};

TEST_F(ChooseJournalTest, TheOnlyOne) {
  EXPECT_THAT(Chosen(""), ElementsAre(HasSubstr("none has left a journal")));
  Leave("shop", {10, 11});
  EXPECT_THAT(Chosen(""), ElementsAre("shop", "10", "11"));
}

TEST_F(ChooseJournalTest, ByNameOrNumber) {
  Leave("shop", {10, 11, 10});
  Leave("bakery", {12, 10});
  Leave("10", {99});
  EXPECT_THAT(Chosen("shop"), ElementsAre("shop", "10", "11", "10"));
  EXPECT_THAT(Chosen("12"), ElementsAre("bakery", "12"));
  EXPECT_THAT(Chosen("10"), ElementsAre("10", "99"));  // its name
  std::filesystem::remove(directory_ + "/10.journal");
  EXPECT_THAT(Chosen("10"),
              ElementsAre(AllOf(HasSubstr("several programs have had the "
                                          "number 10: bakery (until 2023-"),
                                HasSubstr(", process 10), shop (until "),
                                HasSubstr("--program NAME"))));
  EXPECT_THAT(Chosen(""), ElementsAre(AllOf(
                              HasSubstr("several have left a journal: bakery "),
                              HasSubstr("--program PID"))));
}

TEST_F(ChooseJournalTest, WhatIsNotThere) {
  Leave("shop", {10});
  Leave("bakery", {});
  EXPECT_THAT(Chosen("shpo"),
              ElementsAre("no program \"shpo\" is running, and none has left a "
                          "journal; similar: 'shop'"));
  EXPECT_THAT(Chosen("7"), ElementsAre(HasSubstr("'bakery', 'shop'")));
  EXPECT_THAT(Chosen("bakery"), ElementsAre("bakery"));
  // A file that nobody may read. Root may.
  if (geteuid() == 0) return;
  std::filesystem::permissions(directory_ + "/shop.journal",
                               std::filesystem::perms::none);
  EXPECT_TRUE(absl::IsPermissionDenied(Choose("shop").status()));
}

}  // namespace
}  // namespace instarctl
}  // namespace instar
