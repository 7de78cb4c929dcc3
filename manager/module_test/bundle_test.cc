// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/testing/file_contents.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/module/module_bundle.h"
#include "manager/module/module_file.h"
#include "manager/module_test/built_modules.h"

namespace instar {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

class BundleTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    path_ = folder_ + "/ratings.bundle";
    one_ = BuildOf(Built("ratings.so"));
    other_ = BuildOf(Built("other_build/ratings.so"));
    ASSERT_NE(one_, other_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string BuildOf(const std::string& path) {
    const absl::StatusOr<ModuleFile> file = ReadModuleFile(path);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? file->program_build_id() : "";
  }

  void Write(const std::string& contents) {
    std::ofstream(path_, std::ios::binary) << contents;
    ASSERT_EQ(chmod(path_.c_str(), 0644), 0);
  }

  std::string folder_ = "/tmp/bundle_test.XXXXXX";
  std::string path_;
  std::string one_, other_;  // builds
};

TEST_F(BundleTest, TheModuleIsChosenByTheBuild) {
  ASSERT_TRUE(
      WriteBundle(path_, {Built("ratings.so"), Built("other_build/ratings.so")})
          .ok());
  for (const std::string& build : {one_, other_}) {
    const absl::StatusOr<ModuleFile> file = ReadModuleFile(path_, build);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->program_build_id(), build);
    EXPECT_EQ(file->update_name(), "ratings");
    EXPECT_EQ(file->path(), path_);
  }
  const absl::StatusOr<ModuleFile> whole = ReadModuleFile(Built("ratings.so"));
  EXPECT_EQ(ReadModuleFile(path_, one_)->soname(), whole->soname());
  EXPECT_EQ(ReadAllModules(path_)->size(), 2u);
  EXPECT_EQ(ReadAllModules(Built("ratings.so"))->size(), 1u);
}

TEST_F(BundleTest, WithoutOneForThisBuildItSaysWhichItHas) {
  ASSERT_TRUE(
      WriteBundle(path_, {Built("ratings.so"), Built("other_build/ratings.so")})
          .ok());
  const std::string none(40, '7');
  for (const std::string& build : {none, std::string()}) {
    const absl::Status refusal = ReadModuleFile(path_, build).status();
    EXPECT_EQ(refusal.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(
        std::string(refusal.message()),
        AllOf(HasSubstr(path_), HasSubstr("no module for this build"),
              HasSubstr("these builds of scenario"),
              HasSubstr(one_.substr(0, 12)), HasSubstr(other_.substr(0, 12)),
              HasSubstr("instarctl bundle")));
  }
  EXPECT_THAT(std::string(ReadModuleFile(path_, none).status().message()),
              HasSubstr("777777777777"));
}

TEST_F(BundleTest, BundlesAreTakenApart) {
  ASSERT_TRUE(WriteBundle(path_, {Built("ratings.so")}).ok());
  const std::string both = folder_ + "/both.bundle";
  ASSERT_TRUE(WriteBundle(both, {path_, Built("other_build/ratings.so")}).ok());
  EXPECT_TRUE(ReadModuleFile(both, one_).ok());
  EXPECT_TRUE(ReadModuleFile(both, other_).ok());
}

// What ar(1) says of it, and what it makes itself: with tables that are no
// modules, and names that are too long for their place.
TEST_F(BundleTest, ItIsAnArchive) {
  ASSERT_TRUE(
      WriteBundle(path_, {Built("ratings.so"), Built("other_build/ratings.so")})
          .ok());
  const std::string list = folder_ + "/list";
  ASSERT_EQ(std::system(absl::StrCat("ar t ", path_, " > ", list).c_str()), 0);
  EXPECT_EQ(FileContents(list), absl::StrCat(one_.substr(0, 12), ".so\n",
                                             other_.substr(0, 12), ".so\n"));
  const std::string made = folder_ + "/made.a";
  ASSERT_EQ(
      std::system(absl::StrCat("cp ", Built("ratings.so"), " ", folder_,
                               "/a_name_that_is_longer_than_its_place.so && ar "
                               "rcs ",
                               made, " ", folder_,
                               "/a_name_that_is_longer_than_its_place.so ",
                               Built("other_build/ratings.so"))
                      .c_str()),
      0);
  ASSERT_EQ(chmod(made.c_str(), 0644), 0);
  const auto all = ReadAllModules(made);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->size(), 2u);
  EXPECT_TRUE(ReadModuleFile(made, other_).ok());
}

TEST_F(BundleTest, WhatDoesNotGoTogetherIsRefused) {
  const auto refusal = [&](const std::vector<std::string>& modules) {
    const absl::Status status = WriteBundle(path_, modules);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    EXPECT_FALSE(std::filesystem::exists(path_));
    return std::string(status.message());
  };
  EXPECT_THAT(refusal({Built("ratings.so"), Built("stars.so")}),
              AllOf(HasSubstr("'stars' of scenario"),
                    HasSubstr("one update of one program")));
  EXPECT_THAT(refusal({Built("ratings.so"), Built("for_other_program.so")}),
              HasSubstr("'ratings' of other_program"));
  EXPECT_THAT(refusal({Built("ratings.so"), Built("ratings_rebuilt.so")}),
              HasSubstr(one_.substr(0, 12)));
  EXPECT_THAT(refusal({Built("for_no_program.so")}), HasSubstr("`program`"));
  EXPECT_THAT(refusal({Built("plain.so")}),
              HasSubstr("has no INSTAR_UPDATE_MODULE"));
}

TEST_F(BundleTest, OthersMayNotWriteIt) {
  ASSERT_TRUE(WriteBundle(path_, {Built("ratings.so")}).ok());
  ASSERT_EQ(chmod(path_.c_str(), 0666), 0);
  EXPECT_EQ(ReadModuleFile(path_, one_).status().code(),
            StatusCode::kPermissionDenied);
}

TEST_F(BundleTest, EveryTruncationIsHarmless) {
  ASSERT_TRUE(WriteBundle(path_, {Built("ratings.so")}).ok());
  const std::string contents = FileContents(path_);
  for (std::size_t size = contents.size() - 2; size > 200;
       size -= size / 50 + 1) {
    ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(size)), 0);
    const absl::Status refusal = ReadModuleFile(path_, one_).status();
    ASSERT_EQ(refusal.code(), StatusCode::kInvalidArgument) << size;
    ASSERT_THAT(std::string(refusal.message()), HasSubstr(path_));
  }
  for (std::size_t size = 200; size-- > 0;) {
    ASSERT_EQ(truncate(path_.c_str(), static_cast<off_t>(size)), 0);
    ASSERT_EQ(ReadModuleFile(path_, one_).status().code(),
              StatusCode::kInvalidArgument)
        << size;
  }
}

TEST_F(BundleTest, DamagedHeadersAreHarmless) {
  ASSERT_TRUE(
      WriteBundle(path_, {Built("ratings.so"), Built("other_build/ratings.so")})
          .ok());
  const std::string contents = FileContents(path_);
  const std::size_t second = contents.find(other_.substr(0, 12) + ".so/", 100);
  ASSERT_NE(second, std::string::npos);
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string damaged = contents;
    const std::size_t header = i % 2 == 0 ? 8 : second;
    damaged[header + random() % 60] = static_cast<char>(random());
    Write(damaged);
    const auto all = ReadAllModules(path_);
    if (!all.ok()) {
      ASSERT_EQ(all.status().code(), StatusCode::kInvalidArgument)
          << all.status();
    }
  }
}

}  // namespace
}  // namespace instar
