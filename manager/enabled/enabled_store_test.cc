// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/enabled/enabled_store.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/testing/eventually.h"
#include "base/testing/file_contents.h"
#include "base/testing/other_user.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/enabled/enabled_folders.h"
#include "manager/module/module_bundle.h"
#include "manager/module_test/built_modules.h"

namespace instar {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class EnabledStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(&base_[0]), nullptr);
    ASSERT_EQ(chmod(base_.c_str(), 0755), 0);
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  EnabledUpdate Enable(const char* module) {
    absl::StatusOr<EnabledUpdate> enabled = store_().Enable(Built(module));
    EXPECT_TRUE(enabled.ok()) << enabled.status();
    return enabled.ok() ? *std::move(enabled) : EnabledUpdate();
  }
  std::vector<std::string> Listed() {
    const absl::StatusOr<std::vector<EnabledUpdate>> all = store_().List();
    EXPECT_TRUE(all.ok()) << all.status();
    std::vector<std::string> names;
    if (all.ok()) {
      for (const EnabledUpdate& update : *all) names.push_back(update.update);
    }
    return names;
  }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_())) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string Refusal(StatusCode code) {
    const absl::Status status = store_().List().status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(status.message());
  }

  EnabledStore store_() const { return EnabledStore(folder_(), "scenario"); }
  std::string folder_() const { return base_ + "/state/instar"; }
  std::string path_() const { return folder_() + "/scenario"; }
  std::string list_() const { return path_() + "/enabled.json"; }

  std::string base_ = "/tmp/enabled_store_test.XXXXXX";
};

TEST_F(EnabledStoreTest, KeepsTheOrder) {
  EXPECT_THAT(Listed(), ElementsAre());
  EXPECT_TRUE(EnabledStore::Programs(folder_())->empty());
  const EnabledUpdate ratings = Enable("ratings.so");
  Enable("stars.so");
  Enable("changing.so");
  EXPECT_THAT(Listed(), ElementsAre("ratings", "stars", "changing"));
  EXPECT_THAT(EnabledStore::Programs(folder_()).value(),
              ElementsAre("scenario"));

  EXPECT_EQ(ratings.program, "scenario");
  ASSERT_EQ(ratings.builds.size(), 1u);
  EXPECT_TRUE(ratings.IsFor(ratings.builds[0]));
  EXPECT_FALSE(ratings.IsFor(""));
  EXPECT_EQ(FileContents(ratings.path), FileContents(Built("ratings.so")));
  EXPECT_TRUE(CheckEnabledFile(ratings).ok());
  const EnabledUpdate listed = store_().List()->front();
  EXPECT_EQ(listed.id, ratings.id);
  EXPECT_EQ(listed.digest, ratings.digest);
  EXPECT_EQ(listed.path, ratings.path);
  EXPECT_EQ(listed.enabled, ratings.enabled);

  ASSERT_TRUE(store_().Disable("stars").ok());
  EXPECT_THAT(Listed(), ElementsAre("ratings", "changing"));
  EXPECT_EQ(Files().size(), 3u);  // with the list
  const absl::Status none = store_().Disable("stars");
  EXPECT_EQ(none.code(), StatusCode::kNotFound);
  EXPECT_THAT(
      std::string(none.message()),
      AllOf(HasSubstr("'stars' of scenario"), HasSubstr("ratings, changing")));
}

TEST_F(EnabledStoreTest, AnotherOneForTheSameBuildTakesThePlace) {
  const EnabledUpdate first = Enable("ratings.so");
  Enable("changing.so");
  const EnabledUpdate second = Enable("ratings_rebuilt.so");
  EXPECT_NE(first.digest, second.digest);
  EXPECT_THAT(Listed(), ElementsAre("ratings", "changing"));
  EXPECT_EQ(store_().List()->front().digest, second.digest);
  EXPECT_FALSE(std::filesystem::exists(first.path));
  // The same again is another one for its marks.
  const EnabledUpdate again = Enable("ratings_rebuilt.so");
  EXPECT_EQ(again.path, second.path);
  EXPECT_NE(again.id, second.id);
  EXPECT_THAT(Listed(), ElementsAre("ratings", "changing"));
}

TEST_F(EnabledStoreTest, OneForAnotherBuildStandsBesideIt) {
  Enable("ratings.so");
  Enable("changing.so");
  Enable("other_build/ratings.so");
  EXPECT_THAT(Listed(), ElementsAre("ratings", "changing", "ratings"));
  // A bundle for both takes the place of both.
  const std::string bundle = base_ + "/ratings.bundle";
  ASSERT_TRUE(WriteBundle(bundle, {Built("ratings.so"),
                                   Built("other_build/ratings.so")})
                  .ok());
  const auto enabled = store_().Enable(bundle);
  ASSERT_TRUE(enabled.ok()) << enabled.status();
  EXPECT_EQ(enabled->builds.size(), 2u);
  EXPECT_THAT(Listed(), ElementsAre("ratings", "changing"));
  // One for one of them does not: the other one still needs the bundle.
  Enable("ratings.so");
  EXPECT_THAT(Listed(), ElementsAre("ratings", "changing", "ratings"));
  ASSERT_TRUE(store_().Disable("ratings").ok());
  EXPECT_THAT(Listed(), ElementsAre("changing"));
}

TEST_F(EnabledStoreTest, WhatIsNoModuleLeavesNoTrace) {
  for (const char* module : {"plain.so", "for_no_program.so", "nowhere.so"}) {
    const absl::Status status = store_().Enable(Built(module)).status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(module));
  }
  EXPECT_THAT(Listed(), ElementsAre());
  Enable("ratings.so");
  EXPECT_FALSE(store_().Enable(Built("for_no_program.so")).ok());
  EXPECT_EQ(Files().size(), 2u);
  for (const char* name : {"", "..", ".", "a/b"}) {
    EXPECT_EQ(EnabledStore(folder_(), name).List().status().code(),
              StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(EnabledStore("", "scenario").List().status().code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(EnabledStoreTest, ADamagedListIsRefused) {
  Enable("ratings.so");
  const std::string good = FileContents(list_());
  const auto with = [&](const std::string& contents) {
    std::ofstream(list_()) << contents;
    return Refusal(StatusCode::kInvalidArgument);
  };
  EXPECT_THAT(with(""), AllOf(HasSubstr(list_()), HasSubstr("is damaged")));
  EXPECT_THAT(with("[]"), HasSubstr("is damaged"));
  EXPECT_THAT(with("{\"format\": 1}"), HasSubstr("is damaged"));
  EXPECT_THAT(with("{\"format\": 2, \"updates\": []}"),
              HasSubstr("another Instar (format 2"));
  EXPECT_THAT(with("{\"format\": 1, \"updates\": [{}]}"),
              HasSubstr("is damaged"));
  for (std::size_t size = 1; size + 2 < good.size(); ++size) {
    with(good.substr(0, size));
  }
  // A file elsewhere is none of ours.
  std::string elsewhere = good;
  elsewhere.replace(elsewhere.find("ratings."), 8, "../../x.");
  EXPECT_THAT(with(elsewhere), HasSubstr("is damaged"));
  std::ofstream(list_()) << good;
  EXPECT_THAT(Listed(), ElementsAre("ratings"));
}

TEST_F(EnabledStoreTest, WhatOthersMayWriteIsNotBelieved) {
  const EnabledUpdate ratings = Enable("ratings.so");
  for (const std::string& path : {folder_(), path_(), list_()}) {
    for (const mode_t mode : {0775, 0757}) {
      struct stat before;
      ASSERT_EQ(stat(path.c_str(), &before), 0);
      ASSERT_EQ(chmod(path.c_str(), mode), 0);
      EXPECT_THAT(Refusal(StatusCode::kPermissionDenied),
                  HasSubstr(absl::StrCat("chmod go-w ", path)));
      EXPECT_FALSE(store_().Enable(Built("ratings.so")).ok());
      ASSERT_EQ(chmod(path.c_str(), before.st_mode & 07777), 0);
    }
  }
  ASSERT_EQ(chmod(ratings.path.c_str(), 0666), 0);
  EXPECT_EQ(CheckEnabledFile(ratings).code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(Listed(), ElementsAre("ratings"));
}

TEST_F(EnabledStoreTest, WhatIsSomebodyElsesIsNotBelieved) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  const EnabledUpdate ratings = Enable("ratings.so");
  for (const std::string& path : {folder_(), path_(), list_()}) {
    ASSERT_EQ(chown(path.c_str(), kNobody, kNobody), 0);
    EXPECT_THAT(Refusal(StatusCode::kPermissionDenied),
                AllOf(HasSubstr(path), HasSubstr("belongs to user 65534")));
    ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  }
  ASSERT_EQ(chown(ratings.path.c_str(), kNobody, kNobody), 0);
  EXPECT_EQ(CheckEnabledFile(ratings).code(), StatusCode::kPermissionDenied);
  ASSERT_EQ(chown(ratings.path.c_str(), 0, 0), 0);
  // As nobody: what is root's is believed, and can be read.
  std::filesystem::permissions(base_ + "/state", std::filesystem::perms{0755});
  ASSERT_EQ(seteuid(kNobody), 0);
  const auto roots = store_().List();
  const absl::Status file = CheckEnabledFile(ratings);
  const absl::Status refused = store_().Disable("ratings");
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_TRUE(roots.ok()) << roots.status();
  EXPECT_TRUE(file.ok()) << file;
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(Listed(), ElementsAre("ratings"));
}

TEST_F(EnabledStoreTest, LinksAreNotFollowed) {
  const EnabledUpdate ratings = Enable("ratings.so");
  for (const std::string& path : {folder_(), path_(), list_()}) {
    std::filesystem::rename(path, base_ + "/moved");
    std::filesystem::create_symlink(base_ + "/moved", path);
    EXPECT_THAT(Refusal(StatusCode::kFailedPrecondition), HasSubstr(path));
    std::filesystem::remove(path);
    std::filesystem::rename(base_ + "/moved", path);
  }
  std::filesystem::rename(ratings.path, base_ + "/moved");
  std::filesystem::create_symlink(base_ + "/moved", ratings.path);
  EXPECT_FALSE(CheckEnabledFile(ratings).ok());
}

TEST_F(EnabledStoreTest, AFileThatIsDamagedOrMissingIsFoundOut) {
  const EnabledUpdate ratings = Enable("ratings.so");
  std::string contents = FileContents(ratings.path);
  contents[contents.size() / 2] ^= 1;
  std::ofstream(ratings.path, std::ios::binary) << contents;
  EXPECT_THAT(std::string(CheckEnabledFile(ratings).message()),
              AllOf(HasSubstr(ratings.path), HasSubstr("is damaged"),
                    HasSubstr("enable the update anew")));
  std::filesystem::remove(ratings.path);
  EXPECT_EQ(CheckEnabledFile(ratings).code(), StatusCode::kNotFound);
}

// Files of others in a folder that was named by mistake.
TEST_F(EnabledStoreTest, OnlyWhatIsOursIsClearedAway) {
  std::filesystem::create_directories(path_());
  for (const char* name : {"main.c", "libfoo.so", "new.txt", "x.0123.so"}) {
    std::ofstream(absl::StrCat(path_(), "/", name)) << "text";
  }
  for (const char* name : {"old.0123456789abcdef.so", "new.17",
                           "scenario.0123456789abcdef-1.1-0.left_out"}) {
    std::ofstream(absl::StrCat(path_(), "/", name)) << "text";
  }
  const EnabledUpdate ratings = Enable("ratings.so");
  EXPECT_THAT(Files(),
              ElementsAre("enabled.json", "libfoo.so", "main.c", "new.txt",
                          ratings.path.substr(ratings.path.rfind('/') + 1),
                          "x.0123.so"));
}

// A module may have become something else by the time it is copied.
TEST_F(EnabledStoreTest, AModuleThatIsAFolderWhenItIsCopied) {
  Enable("changing.so");
  const std::string module = absl::StrCat(base_, "/ratings.so");
  std::filesystem::copy_file(Built("ratings.so"), module);
  const int folder = open(path_().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(folder, LOCK_EX), 0);
  absl::StatusOr<EnabledUpdate> enabled;
  std::thread other([&] { enabled = store_().Enable(module); });
  // It has looked at the module, and waits for the folder.
  const std::string waits =
      absl::StrCat("-> FLOCK  ADVISORY  WRITE ", getpid(), " ");
  ASSERT_TRUE(Eventually(
      [&] { return absl::StrContains(FileContents("/proc/locks"), waits); }));
  std::filesystem::remove(module);
  std::filesystem::create_directory(module);
  close(folder);
  other.join();
  EXPECT_FALSE(enabled.ok());
  EXPECT_THAT(std::string(enabled.status().message()),
              HasSubstr(absl::StrCat("cannot read ", module)));
  EXPECT_THAT(Listed(), ElementsAre("changing"));
  EXPECT_EQ(Files().size(), 2u);
}

TEST_F(EnabledStoreTest, SeveralMayEnableAtATime) {
  const std::vector<const char*> modules = {"ratings.so", "stars.so",
                                            "changing.so", "throwing.so"};
  std::vector<pid_t> children;
  for (const char* module : modules) {
    const pid_t child = fork();
    if (child == 0) {
      for (int i = 0; i < 5; ++i) {
        if (!store_().Enable(Built(module)).ok()) _exit(1);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_THAT(Listed(), testing::UnorderedElementsAre("ratings", "stars",
                                                      "changing", "throwing"));
  EXPECT_EQ(Files().size(), 5u);
}

// Whenever it is killed, what is listed is whole.
TEST_F(EnabledStoreTest, AnEndAtAnyMomentLeavesAWholeList) {
  Enable("changing.so");
  std::mt19937 random(1);
  for (int i = 0; i < 60; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      while (true) {
        static_cast<void>(store_().Enable(Built("ratings.so")));
        static_cast<void>(store_().Enable(Built("ratings_rebuilt.so")));
        static_cast<void>(store_().Disable("ratings"));
      }
    }
    usleep(random() % 20000);
    kill(child, SIGKILL);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    const auto all = store_().List();
    ASSERT_TRUE(all.ok()) << all.status();
    ASSERT_GE(all->size(), 1u);
    EXPECT_EQ(all->front().update, "changing");
    for (const EnabledUpdate& update : *all) {
      EXPECT_TRUE(CheckEnabledFile(update).ok());
    }
  }
  // The next one clears away what they left.
  Enable("ratings.so");
  EXPECT_EQ(Files().size(), 3u);
}

TEST(EnabledFoldersTest, FollowTheEnvironment) {
  unsetenv("INSTAR_STATE_DIRECTORY");
  setenv("HOME", "/home/somebody", 1);
  unsetenv("XDG_STATE_HOME");
  const bool is_root = geteuid() == 0;
  EnabledFolders folders = EnabledFolders::FromEnvironment();
  EXPECT_EQ(folders.own,
            is_root ? "/var/lib/instar" : "/home/somebody/.local/state/instar");
  EXPECT_EQ(folders.system, is_root ? "" : "/var/lib/instar");
  if (!is_root) {
    setenv("XDG_STATE_HOME", "/state", 1);
    EXPECT_EQ(EnabledFolders::FromEnvironment().own, "/state/instar");
    setenv("XDG_STATE_HOME", "relative", 1);
    EXPECT_EQ(EnabledFolders::FromEnvironment().own,
              "/home/somebody/.local/state/instar");
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    EXPECT_THAT(EnabledFolders::FromEnvironment().All(),
                ElementsAre("/var/lib/instar"));
  }
  setenv("INSTAR_STATE_DIRECTORY", "/chosen", 1);
  EXPECT_THAT(EnabledFolders::FromEnvironment().All(), ElementsAre("/chosen"));
  EXPECT_FALSE(IsPrivilegedStart());
}

}  // namespace
}  // namespace instar
