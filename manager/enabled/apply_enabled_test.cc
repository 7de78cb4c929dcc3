// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/enabled/apply_enabled.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/testing/child_process.h"
#include "base/testing/file_contents.h"
#include "base/testing/other_user.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/enabled/enabled_store.h"
#include "manager/enabled/start_mark.h"
#include "manager/module/module_bundle.h"
#include "manager/module/module_file.h"
#include "manager/module_test/built_modules.h"

namespace instar {
namespace manager_internal {
namespace {

using std::chrono::nanoseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ApplyEnabledTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(&base_[0]), nullptr);
    ASSERT_EQ(chmod(base_.c_str(), 0755), 0);
    options_.folders.own = base_ + "/own";
    options_.programs = {"scenario"};
    options_.build_id = ReadModuleFile(Built("ratings.so"))->program_build_id();
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  EnabledUpdate Enable(const char* module, const char* program = "scenario") {
    const auto enabled =
        EnabledStore(options_.folders.own, program).Enable(Built(module));
    EXPECT_TRUE(enabled.ok()) << enabled.status();
    return enabled.ok() ? *enabled : EnabledUpdate();
  }

  // A start; the updates whose modules were to be loaded.
  std::vector<std::string> Start() {
    std::vector<std::string> loaded;
    Journal journal(base_ + "/journal");
    remarks_ = ApplyEnabled(
        options_, journal, [&](const std::string& path, nanoseconds limit) {
          EXPECT_LE(limit, options_.limit);
          const auto file = ReadModuleFile(path, options_.build_id);
          EXPECT_TRUE(file.ok()) << file.status();
          loaded.push_back(file->update_name());
          return loads_;
        });
    return loaded;
  }
  // What the journal says of it.
  std::vector<std::string> Skipped() {
    std::vector<std::string> lines;
    const auto entries = ReadJournal(base_ + "/journal");
    EXPECT_TRUE(entries.ok()) << entries.status();
    if (!entries.ok()) return lines;
    for (const JournalEntry& entry : *entries) {
      EXPECT_EQ(entry.event, "skipped");
      lines.push_back(absl::StrCat(entry.update, ": ", entry.detail));
    }
    return lines;
  }

  std::string base_ = "/tmp/apply_enabled_test.XXXXXX";
  ApplyEnabledOptions options_;
  absl::Status loads_;
  std::vector<std::string> remarks_;
};

TEST_F(ApplyEnabledTest, InTheOrderInWhichTheyWereEnabled) {
  EXPECT_THAT(Start(), IsEmpty());
  Enable("changing.so");
  Enable("ratings.so");
  Enable("stars.so");
  EXPECT_THAT(Start(), ElementsAre("changing", "ratings", "stars"));
  EXPECT_THAT(remarks_, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(base_ + "/journal"));
}

TEST_F(ApplyEnabledTest, UnderEachNameOfTheProgram) {
  Enable("ratings.so", "shop");
  Enable("changing.so");
  Enable("throwing.so", "bakery");
  options_.programs = {"scenario", "shop"};
  EXPECT_THAT(Start(), ElementsAre("changing", "ratings"));
}

TEST_F(ApplyEnabledTest, RootsComeFirst) {
  Enable("ratings.so");
  options_.folders.system = base_ + "/system";
  ASSERT_TRUE(EnabledStore(options_.folders.system, "scenario")
                  .Enable(Built("changing.so"))
                  .ok());
  ASSERT_TRUE(EnabledStore(options_.folders.system, "scenario")
                  .Enable(Built("ratings_rebuilt.so"))
                  .ok());
  EXPECT_THAT(Start(), ElementsAre("changing", "ratings"));
  EXPECT_THAT(Skipped(), ElementsAre(HasSubstr("is applied already")));
}

TEST_F(ApplyEnabledTest, OneForAnotherBuildIsSkipped) {
  Enable("other_build/ratings.so");
  Enable("changing.so");
  EXPECT_THAT(Start(), ElementsAre("changing"));
  EXPECT_THAT(
      Skipped(),
      ElementsAre(AllOf(HasSubstr("ratings: it is for build "),
                        HasSubstr(absl::StrCat(
                            "this is build ", options_.build_id.substr(0, 12))),
                        HasSubstr("instarctl disable -p scenario ratings"))));
  EXPECT_THAT(remarks_,
              ElementsAre(HasSubstr("'ratings' is enabled and not applied")));
}

TEST_F(ApplyEnabledTest, TheLatestForThisBuildCounts) {
  const std::string bundle = base_ + "/ratings.bundle";
  ASSERT_TRUE(WriteBundle(bundle, {Built("ratings.so"),
                                   Built("other_build/ratings.so")})
                  .ok());
  ASSERT_TRUE(
      EnabledStore(options_.folders.own, "scenario").Enable(bundle).ok());
  Enable("changing.so");
  Enable("ratings_rebuilt.so");
  EXPECT_THAT(Start(), ElementsAre("changing", "ratings"));
  EXPECT_THAT(remarks_, IsEmpty());
}

TEST_F(ApplyEnabledTest, ADamagedOrMissingFileIsSkipped) {
  const EnabledUpdate ratings = Enable("ratings.so");
  Enable("changing.so");
  std::ofstream(ratings.path, std::ios::app) << "x";
  EXPECT_THAT(Start(), ElementsAre("changing"));
  std::filesystem::remove(ratings.path);
  EXPECT_THAT(Start(), ElementsAre("changing"));
  EXPECT_THAT(Skipped(),
              ElementsAre(HasSubstr("is damaged"), HasSubstr("is not there")));
}

TEST_F(ApplyEnabledTest, ADamagedListIsSkipped) {
  const EnabledUpdate ratings = Enable("ratings.so");
  std::ofstream(options_.folders.own + "/scenario/enabled.json") << "{";
  EXPECT_THAT(Start(), IsEmpty());
  EXPECT_THAT(Skipped(), ElementsAre(HasSubstr("enabled.json is damaged")));
  EXPECT_THAT(remarks_, ElementsAre(HasSubstr("none is applied")));
}

TEST_F(ApplyEnabledTest, WhatOthersMayWriteIsSkipped) {
  const EnabledUpdate ratings = Enable("ratings.so");
  ASSERT_EQ(chmod(ratings.path.c_str(), 0666), 0);
  EXPECT_THAT(Start(), IsEmpty());
  ASSERT_EQ(chmod(options_.folders.own.c_str(), 0777), 0);
  EXPECT_THAT(Start(), IsEmpty());
  EXPECT_THAT(Skipped(),
              ElementsAre(HasSubstr("chmod go-w " + ratings.path),
                          HasSubstr("chmod go-w " + options_.folders.own)));
}

// The format in its notes is another one.
TEST_F(ApplyEnabledTest, AModuleOfAnotherInstarIsSkipped) {
  ASSERT_TRUE(EnabledStore(options_.folders.own, "scenario")
                  .Enable(Built("ratings.so"))
                  .ok());
  auto all = EnabledStore(options_.folders.own, "scenario").List();
  ASSERT_TRUE(all.ok());
  // As a later Instar would have made and enabled it: with its own digest.
  const std::string& path = all->front().path;
  std::string contents = FileContents(path);
  const std::string owner("Instar\0\0", 8);
  for (std::size_t at = contents.find(owner); at != std::string::npos;
       at = contents.find(owner, at + 1)) {
    contents[at + owner.size()] = 2;
  }
  std::filesystem::permissions(path, std::filesystem::perms{0644});
  std::ofstream(path, std::ios::binary) << contents;
  const std::string list = options_.folders.own + "/scenario/enabled.json";
  ASSERT_EQ(
      std::system(absl::StrCat("sed -i s/", all->front().digest,
                               "/$(sha256sum ", path, " | cut -c 1-64)/ ", list)
                      .c_str()),
      0);
  EXPECT_THAT(Start(), IsEmpty());
  EXPECT_THAT(Skipped(),
              ElementsAre(AllOf(HasSubstr("format 2"), HasSubstr("Instar"))));
}

TEST_F(ApplyEnabledTest, WhatItRequiresMustBeApplied) {
  Enable("stars.so");
  Enable("ratings.so");
  EXPECT_THAT(Start(), ElementsAre("ratings"));
  EXPECT_THAT(Skipped(), ElementsAre(HasSubstr(
                             "stars: it requires update 'ratings', which is "
                             "not applied; enable that first")));
}

TEST_F(ApplyEnabledTest, OneThatFailsKeepsNoOther) {
  Enable("ratings.so");
  Enable("changing.so");
  loads_ = absl::FailedPreconditionError("something is missing");
  EXPECT_THAT(Start(), ElementsAre("ratings", "changing"));
  EXPECT_THAT(remarks_, ElementsAre(HasSubstr("something is missing"),
                                    HasSubstr("'changing' is enabled and")));
  // It is tried again at the next start, and has no mark.
  EXPECT_THAT(Start(), ElementsAre("ratings", "changing"));
}

TEST_F(ApplyEnabledTest, OneThatCrashesTheProgramIsSkippedFromThenOn) {
  Enable("changing.so");
  const EnabledUpdate ratings = Enable("ratings.so");
  EXPECT_NE(InAChild([&] {
              Journal journal(base_ + "/journal");
              ApplyEnabled(options_, journal,
                           [&](const std::string& path, nanoseconds) {
                             if (path == ratings.path) _exit(9);
                             return absl::OkStatus();
                           });
              return 0;
            }),
            0);
  EXPECT_THAT(Start(), ElementsAre("changing"));
  EXPECT_THAT(Start(), ElementsAre("changing"));
  EXPECT_THAT(
      Skipped(),
      ElementsAre(AllOf(HasSubstr("ratings: process "),
                        HasSubstr("ended while it was applied at its start"),
                        HasSubstr("enable it again")),
                  HasSubstr("ended while")));
  Enable("ratings.so");
  EXPECT_THAT(Start(), ElementsAre("changing", "ratings"));
}

TEST_F(ApplyEnabledTest, OneThatWasSeenToCrashIsSkipped) {
  Enable("ratings.so");
  ASSERT_TRUE(
      LeaveOut(options_.folders, "scenario", "ratings", "it crashed at noon")
          .ok());
  EXPECT_THAT(Start(), IsEmpty());
  EXPECT_THAT(Skipped(), ElementsAre(HasSubstr("it crashed at noon")));
}

TEST_F(ApplyEnabledTest, WithoutAMarkNothingIsApplied) {
  if (!CanBecomeNobody()) GTEST_SKIP() << "root can write everywhere";
  Enable("ratings.so");
  const std::string journal_path = base_ + "/nobodys";
  ASSERT_EQ(mkdir(journal_path.c_str(), 0700), 0);
  ASSERT_EQ(chown(journal_path.c_str(), kNobody, kNobody), 0);
  const auto starts = [&](const std::string& marks) {
    return InAChild([&] {
      if (!BecomeNobody()) return 1;
      options_.folders.marks = marks;
      Journal journal(journal_path + "/journal");
      int loaded = 0;
      ApplyEnabled(options_, journal, [&](const std::string&, nanoseconds) {
        ++loaded;
        return absl::OkStatus();
      });
      const auto entries = journal.Read();
      if (loaded > 0) return 2;
      return entries.ok() && entries->size() == 1 &&
                     entries->front().detail.find("the mark that keeps") == 0
                 ? 0
                 : 3;
    });
  };
  EXPECT_EQ(starts(""), 0);
  EXPECT_EQ(WEXITSTATUS(starts(journal_path)), 2);  // applied
}

TEST_F(ApplyEnabledTest, AProgramWithMoreRightsHasNone) {
  Enable("ratings.so");
  options_.is_privileged = true;
  EXPECT_THAT(Start(), IsEmpty());
  EXPECT_THAT(Skipped(), ElementsAre(HasSubstr("set-user-ID")));
}

TEST_F(ApplyEnabledTest, TheStartEndsWithItsTime) {
  Enable("ratings.so");
  options_.limit = nanoseconds(0);
  EXPECT_THAT(Start(), IsEmpty());
  EXPECT_THAT(Skipped(), ElementsAre(HasSubstr("used up the time")));
}

TEST_F(ApplyEnabledTest, ATimeWithoutEndIsNotUsedUp) {
  Enable("ratings.so");
  options_.limit = nanoseconds::max();
  EXPECT_THAT(Start(), ElementsAre("ratings"));
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
