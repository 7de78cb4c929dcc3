// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/enabled/start_mark.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/testing/child_process.h"
#include "base/testing/other_user.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using testing::HasSubstr;

class StartMarkTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(&base_[0]), nullptr);
    ASSERT_EQ(chmod(base_.c_str(), 0755), 0);
    folders_.own = base_ + "/own";
    Enable();
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  void Enable() {
    const auto enabled = EnabledStore(folders_.own, "scenario")
                             .Enable("manager/module_test/ratings.so");
    ASSERT_TRUE(enabled.ok()) << enabled.status();
    update_ = *enabled;
  }

  // A start that ends while the update is applied.
  pid_t Crash() {
    const pid_t child = fork();
    if (child == 0) {
      const auto mark = StartMark::Set(folders_, update_);
      _exit(mark.ok() ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    return child;
  }

  std::string base_ = "/tmp/start_mark_test.XXXXXX";
  EnabledFolders folders_;
  EnabledUpdate update_;
};

TEST_F(StartMarkTest, AnEndBeforeItIsRemovedLeavesTheUpdateOut) {
  EXPECT_EQ(WhyLeftOut(folders_, update_), "");
  const pid_t child = Crash();
  EXPECT_THAT(WhyLeftOut(folders_, update_),
              HasSubstr(absl::StrCat("process ", child, " ended while it")));
  // As long as it is not enabled anew.
  EXPECT_NE(WhyLeftOut(folders_, update_), "");
  Enable();
  EXPECT_EQ(WhyLeftOut(folders_, update_), "");
}

TEST_F(StartMarkTest, OneThatIsRemovedLeavesNothing) {
  EXPECT_EQ(InAChild([&] {
              auto mark = StartMark::Set(folders_, update_);
              if (!mark.ok()) return 1;
              mark->Remove();
              mark->Remove();
              return 0;
            }),
            0);
  EXPECT_EQ(WhyLeftOut(folders_, update_), "");
}

TEST_F(StartMarkTest, OneOfALivingProcessSaysNothing) {
  int ready[2], end[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(end), 0);
  char byte = 0;
  const pid_t child = fork();
  if (child == 0) {
    close(end[1]);
    const auto mark = StartMark::Set(folders_, update_);
    // What is forked meanwhile does not keep the lock when this process ends.
    if (fork() == 0) {
      close(ready[1]);
      (void)!read(end[0], &byte, 1);
      _exit(0);
    }
    (void)!write(ready[1], mark.ok() ? "y" : "n", 1);
    (void)!read(end[0], &byte, 1);
    abort();
  }
  close(ready[1]);
  close(end[0]);
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  EXPECT_EQ(WhyLeftOut(folders_, update_), "");
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_THAT(WhyLeftOut(folders_, update_), HasSubstr("ended while it"));
  close(end[1]);
  close(ready[0]);
}

TEST_F(StartMarkTest, AfterACrashOthersLeaveItOut) {
  EXPECT_EQ(LeaveOut(folders_, "scenario", "stars", "why").value(), 0);
  EXPECT_EQ(LeaveOut(folders_, "another", "ratings", "why").value(), 0);
  EXPECT_EQ(WhyLeftOut(folders_, update_), "");
  EXPECT_EQ(LeaveOut(folders_, "scenario", "ratings", "it crashed in Price()")
                .value(),
            1);
  EXPECT_EQ(WhyLeftOut(folders_, update_), "it crashed in Price()");
  Enable();
  EXPECT_EQ(WhyLeftOut(folders_, update_), "");
}

TEST_F(StartMarkTest, WithoutAFolderForItItCannotBeSet) {
  if (!CanBecomeNobody()) GTEST_SKIP() << "root can write everywhere";
  EnabledFolders none = folders_;
  none.system = folders_.own;
  none.own.clear();
  EXPECT_EQ(InAChild([&] {
              if (!BecomeNobody()) return 1;
              return StartMark::Set(none, update_).ok() ? 2 : 0;
            }),
            0);
  // In nobody's own folder, which is made, or else in the one for marks.
  for (const bool has_own : {true, false}) {
    EnabledFolders other = none;
    const std::string folder = absl::StrCat(base_, has_own ? "/a" : "/b");
    ASSERT_EQ(mkdir(folder.c_str(), 0755), 0);
    ASSERT_EQ(chown(folder.c_str(), kNobody, kNobody), 0);
    (has_own ? other.own : other.marks) = folder;
    EXPECT_EQ(InAChild([&] {
                if (!BecomeNobody()) return 1;
                const int crashed = InAChild([&] {
                  return StartMark::Set(other, update_).ok() ? 0 : 1;
                });
                if (crashed != 0) return 2;
                return WhyLeftOut(other, update_).empty() ? 3 : 0;
              }),
              0);
    // Nobody's marks are nothing to root.
    EXPECT_EQ(WhyLeftOut(other, update_), "");
  }
  EXPECT_EQ(WhyLeftOut(folders_, update_), "");
}

TEST_F(StartMarkTest, WhatOthersCouldHaveWrittenIsNotBelieved) {
  Crash();
  ASSERT_NE(WhyLeftOut(folders_, update_), "");
  ASSERT_EQ(chmod(absl::StrCat(folders_.own, "/scenario").c_str(), 0777), 0);
  EXPECT_EQ(WhyLeftOut(folders_, update_), "");
}

}  // namespace
}  // namespace instar
