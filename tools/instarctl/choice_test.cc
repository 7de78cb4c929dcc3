// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/choice.h"

#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace instarctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const RunningProgram kShop = {"shop", 10, "/d/shop.10.sock"};
const RunningProgram kShopToo = {"shop", 11, "/d/shop.11.sock"};
const RunningProgram kBakery = {"bakery", 12, "/d/bakery.12.sock"};

// 10 and 11 are two builds of one program; 12 is called otherwise than it is.
absl::StatusOr<ProgramReport> Ask(const RunningProgram& program) {
  ProgramReport report;
  report.name = program.name;
  report.pid = program.pid;
  report.build_id = program.pid == 10 ? "aa" : program.pid == 11 ? "bb" : "cc";
  report.executable =
      program.pid == 12 ? "/opt/bread_shop" : "/opt/builds/shop";
  return report;
}

absl::StatusOr<ProgramReport> NeverAsk(const RunningProgram&) {
  ADD_FAILURE() << "nobody needs to be asked";
  return absl::InternalError("");
}

// Of the program that is chosen; 0: none.
int Choose(const std::vector<RunningProgram>& programs,
           const std::string& wanted, const BuiltFor& built_for = {}) {
  const auto program = ChooseProgram(programs, wanted, built_for, Ask);
  return program.ok() ? program->pid : 0;
}

std::string Message(const std::vector<RunningProgram>& programs,
                    const std::string& wanted, const BuiltFor& built_for = {}) {
  const absl::Status status =
      ChooseProgram(programs, wanted, built_for, Ask).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  return std::string(status.message());
}

TEST(ChooseProgramTest, TheOnlyOne) {
  EXPECT_EQ(ChooseProgram({kShop}, "", {"other", {"dd"}}, NeverAsk)->pid, 10);
  EXPECT_THAT(Message({}, ""), HasSubstr("no program that can be updated"));
  EXPECT_THAT(Message({}, "shop"), HasSubstr("no program that can be updated"));
}

TEST(ChooseProgramTest, ByNameOrNumber) {
  const std::vector<RunningProgram> all = {kShop, kShopToo, kBakery};
  EXPECT_EQ(Choose(all, "bakery"), 12);
  EXPECT_EQ(Choose(all, "11"), 11);
  EXPECT_EQ(Choose({kShop}, "shop"), 10);
  EXPECT_THAT(Message({kShop}, "bakery"),
              AllOf(HasSubstr("\"bakery\""), HasSubstr("shop (10)")));
  EXPECT_THAT(Message(all, "shop"),
              AllOf(HasSubstr("shop (10), shop (11)"), HasSubstr("--program")));
}

TEST(ChooseProgramTest, ByTheModule) {
  const std::vector<RunningProgram> all = {kShop, kShopToo, kBakery};
  EXPECT_EQ(Choose(all, "", {"shop", {"bb"}}), 11);
  EXPECT_EQ(Choose(all, "", {"bread_shop", {"cc"}}), 12);
  // A build that does not run: the program itself will say so.
  EXPECT_EQ(Choose(all, "", {"bread_shop", {"dd"}}), 12);
  EXPECT_THAT(Message(all, "", {"shop", {"dd"}}),
              HasSubstr("several programs"));
  EXPECT_THAT(Message({kShop, kShop}, "", {"shop", {"aa"}}),
              HasSubstr("several programs"));
  EXPECT_THAT(Message(all, ""), HasSubstr("shop (10), shop (11), bakery (12)"));
}

TEST(AbsolutePathTest, IsWhereTheUserIs) {
  unsetenv("BUILD_WORKING_DIRECTORY");
  char here[4096];
  ASSERT_NE(getcwd(here, sizeof(here)), nullptr);
  EXPECT_EQ(AbsolutePath("a.so"), std::string(here) + "/a.so");
  setenv("BUILD_WORKING_DIRECTORY", "/home/me", 1);
  EXPECT_EQ(AbsolutePath("x/a.so"), "/home/me/x/a.so");
  EXPECT_EQ(AbsolutePath("/a.so"), "/a.so");
}

}  // namespace
}  // namespace instarctl
}  // namespace instar
