// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A manager stays reachable whatever becomes of its descriptors, its socket's
// name and its user, and touches nothing that is the program's.

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/testing/eventually.h"
#include "base/testing/other_user.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_client.h"
#include "manager/control/socket_directory.h"
#include "manager/manager.h"
#include "updates/testing/functions_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using updates_test::Price;

constexpr int kNumbers = 1100;  // of descriptors

int NewPrice(int article) { return 1000 + article; }

std::unique_ptr<Update> Prices() {
  UpdatePlan plan("prices");
  plan.Redefine(Price, &NewPrice);
  return MakeUpdate(std::move(plan));
}

// Where root's programs and those of nobody are found, if there is nothing
// better: what a test leaves there goes with this, and the folders that it
// made.
class FoldersOfUsers {
 public:
  FoldersOfUsers() {
    for (const std::string& folder :
         {absl::StrCat("/run/instar/", geteuid()),
          absl::StrCat("/run/instar/", kNobody), std::string("/run/instar"),
          absl::StrCat("/tmp/instar-", geteuid()),
          absl::StrCat("/tmp/instar-", kNobody)}) {
      folders_.push_back({folder, std::filesystem::exists(folder)});
    }
  }
  ~FoldersOfUsers() {
    for (const Folder& folder : folders_) {
      std::error_code ignored;
      for (const auto& file :
           std::filesystem::directory_iterator(folder.path, ignored)) {
        if (file.path().filename().string().find("reached_test.") == 0) {
          std::filesystem::remove(file.path(), ignored);
        }
      }
      if (folder.existed) continue;
      std::filesystem::remove(folder.path, ignored);  // if it is empty
    }
  }

 private:
  struct Folder {
    std::string path;
    bool existed;
  };
  std::vector<Folder> folders_;
};

class ManagerReachedTest : public testing::Test {
 protected:
  void SetUp() override {
    // The path of a socket must be short.
    char path[] = "/tmp/instar-reached-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    setenv("INSTAR_SOCKET_DIRECTORY", path, 1);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // Waits until the manager of process `pid` answers: it looks once a second
  // whether it can be reached, and tells nobody.
  static bool AwaitAnswer(pid_t pid) {
    return Eventually([pid] {
      const auto programs = FindPrograms();
      if (!programs.ok()) return false;
      for (const RunningProgram& program : *programs) {
        if (program.pid != pid) continue;
        auto client = ControlClient::Connect(program.socket);
        if (client.ok() && client->Status().ok()) return true;
      }
      return false;
    });
  }

  std::string directory_;
};

TEST_F(ManagerReachedTest, ANameThatWasRemovedIsMadeAgain) {
  auto manager = Manager::Start();
  ASSERT_TRUE(manager.ok()) << manager.status();
  ASSERT_TRUE(AwaitAnswer(getpid()));
  ASSERT_EQ(unlink(manager->socket_path().c_str()), 0);
  ASSERT_TRUE(AwaitAnswer(getpid()));
  std::filesystem::remove_all(directory_);
  ASSERT_TRUE(AwaitAnswer(getpid()));
  ASSERT_TRUE(manager->Apply(Prices()).ok());
  ASSERT_TRUE(manager->Undo().ok());
  const auto journal = manager->Journal();
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ(journal->back().event, "undone");
}

// A program that changes its environment is where it was: the library's threads
// do not read it, which would be a race besides.
TEST_F(ManagerReachedTest, AnEnvironmentThatChangesChangesNothing) {
  auto manager = Manager::Start();
  ASSERT_TRUE(manager.ok()) << manager.status();
  const std::string path = manager->socket_path();
  ASSERT_TRUE(AwaitAnswer(getpid()));
  std::filesystem::remove_all(directory_);
  setenv("INSTAR_SOCKET_DIRECTORY", (directory_ + "-other").c_str(), 1);
  absl::Status status;
  EXPECT_TRUE(Eventually([&] {
    status = ConnectTo(path).status();
    return status.ok();
  })) << status;
  ASSERT_TRUE(manager->Apply(Prices()).ok());
  ASSERT_TRUE(manager->Undo().ok());
  ASSERT_TRUE(manager->Journal().ok());
  EXPECT_FALSE(std::filesystem::exists(directory_ + "-other"));
}

// The name of somebody else's file is not removed.
TEST_F(ManagerReachedTest, TheEndRemovesItsOwnNameOnly) {
  std::string path;
  {
    auto manager = Manager::Start();
    ASSERT_TRUE(manager.ok()) << manager.status();
    path = manager->socket_path();
    std::filesystem::rename(path, path + ".old");
    close(open(path.c_str(), O_CREAT | O_WRONLY, 0600));
  }
  struct stat info;
  ASSERT_EQ(lstat(path.c_str(), &info), 0);
  EXPECT_TRUE(S_ISREG(info.st_mode));
}

// As a daemon does that was started by root. Its administrator sees it.
TEST_F(ManagerReachedTest, AProcessThatBecomesAnotherUsersIsReached) {
  if (!CanBecomeNobody()) GTEST_SKIP() << "it cannot become somebody else";
  const FoldersOfUsers folders;
  unsetenv("INSTAR_SOCKET_DIRECTORY");
  unsetenv("XDG_RUNTIME_DIR");
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto manager = Manager::Start({"reached_test", false});
    if (!manager.ok() || !BecomeNobody()) _exit(1);
    // Its own folder has the socket when it is another user's.
    if (!Eventually([&] {
          return manager->socket_path().find(absl::StrCat(kNobody)) !=
                 std::string::npos;
        })) {
      _exit(2);
    }
    (void)!write(ready[1], "y", 1);
    while (true) pause();
  }
  close(ready[1]);
  char answer = 0;
  EXPECT_EQ(read(ready[0], &answer, 1), 1);
  if (answer == 'y') {
    EXPECT_TRUE(AwaitAnswer(child));
  }
  close(ready[0]);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  setenv("INSTAR_SOCKET_DIRECTORY", directory_.c_str(), 1);
}

TEST_F(ManagerReachedTest, AProgramMayCloseEveryDescriptor) {
  std::optional<Manager> manager;
  {
    auto started = Manager::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    manager = *std::move(started);
  }
  ASSERT_TRUE(manager->Apply(Prices()).ok());
  for (int round = 0; round < 3; ++round) {
    auto client = ControlClient::Connect(manager->socket_path());
    ASSERT_TRUE(client.ok()) << client.status();
    ASSERT_TRUE(client->Status().ok());
    // What a daemon does, and then its files have all of the numbers.
    for (int d = 3; d < kNumbers; ++d) close(d);
    const std::string path = absl::StrCat(directory_, "/log");
    const int log = open(path.c_str(), O_CREAT | O_RDWR | O_APPEND, 0600);
    ASSERT_GE(log, 0);
    std::vector<int> logs = {log};
    // Some numbers stay free, for those that are opened again.
    for (int d = 3; d < 1000; ++d) {
      if (d != log && dup2(log, d) == d) logs.push_back(d);
    }
    // The client here would close the number that it had.
    static auto& lost = *new std::vector<ControlClient>;
    lost.push_back(*std::move(client));
    ASSERT_TRUE(AwaitAnswer(getpid()));
    ASSERT_TRUE(manager->Undo().ok());
    EXPECT_EQ(Price(1), 101);
    ASSERT_TRUE(manager->Apply(Prices()).ok());
    EXPECT_EQ(Price(1), 1001);
    struct stat info;
    ASSERT_EQ(fstat(log, &info), 0);
    EXPECT_EQ(info.st_size, 0) << "something was written to the program's log";
    for (const int d : logs) EXPECT_EQ(close(d), 0) << d << " was closed";
  }
  EXPECT_TRUE(manager->Undo().ok());
  for (int d = 3; d < kNumbers; ++d) close(d);
  manager.reset();  // does not hang
}

}  // namespace
}  // namespace instar
