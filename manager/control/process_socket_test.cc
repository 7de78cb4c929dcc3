// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/process_socket.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/testing/child_process.h"
#include "gtest/gtest.h"
#include "manager/control/socket_directory.h"

namespace instar {
namespace {

constexpr char kNotPermitted = 'n';
constexpr char kListens = 'l';

// A process that listens as "shop" in a folder, having done something before,
// until it is ended.
class Elsewhere {
 public:
  Elsewhere(const std::string& folder, const std::function<bool()>& go_there) {
    int said[2];
    if (pipe(said) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      alarm(60);
      char answer = kNotPermitted;
      setenv("INSTAR_SOCKET_DIRECTORY", folder.c_str(), 1);
      if (go_there()) {
        const auto socket = ProgramSocket::Listen("shop");
        answer = socket.ok() ? kListens : 'f';
        (void)!write(said[1], &answer, 1);
        while (true) pause();
      }
      (void)!write(said[1], &answer, 1);
      _exit(0);
    }
    close(said[1]);
    (void)!read(said[0], &answer_, 1);
    close(said[0]);
  }
  ~Elsewhere() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  bool is_permitted() const { return answer_ != kNotPermitted; }
  bool listens() const { return answer_ == kListens; }

 private:
  pid_t pid_ = -1;
  char answer_ = 0;
};

class ProcessSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/instar-process-socket-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // That it is reached, by a path that begins so.
  void IsReached(const Elsewhere& program, const std::string& begin) {
    ASSERT_TRUE(program.listens());
    const auto found = FindProgramOf(program.pid());
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->name, "shop");
    EXPECT_EQ(found->pid, program.pid());
    EXPECT_TRUE(absl::StartsWith(found->socket, begin)) << found->socket;
    EXPECT_TRUE(ConnectTo(found->socket).ok());
  }
  std::string RootOf(const Elsewhere& program) {
    return absl::StrCat("/proc/", program.pid(), "/root", folder_);
  }

  std::string folder_;
};

bool HideBehindAnEmptyFolder(const std::string& folder) {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", folder.c_str(), "tmpfs", 0, "mode=0700") == 0;
}

TEST_F(ProcessSocketTest, InAMountNamespaceOfItsOwn) {
  const Elsewhere program(folder_,
                          [&] { return HideBehindAnEmptyFolder(folder_); });
  if (!program.is_permitted())
    GTEST_SKIP() << "no mount namespace is permitted";
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  IsReached(program, RootOf(program));
}

TEST_F(ProcessSocketTest, InANetworkNamespaceOfItsOwn) {
  const Elsewhere program(folder_, [] { return unshare(CLONE_NEWNET) == 0; });
  if (!program.is_permitted()) {
    GTEST_SKIP() << "no network namespace is permitted";
  }
  IsReached(program, RootOf(program));
}

TEST_F(ProcessSocketTest, InAnotherRoot) {
  const std::string root = folder_ + "/root";
  ASSERT_TRUE(std::filesystem::create_directories(root + folder_));
  std::filesystem::permissions(root + folder_,
                               std::filesystem::perms::owner_all);
  const Elsewhere program(
      folder_, [&] { return chroot(root.c_str()) == 0 && chdir("/") == 0; });
  if (!program.is_permitted()) GTEST_SKIP() << "only root may change its root";
  IsReached(program, RootOf(program));
}

// The socket has the number that the process has in its own namespace. In a
// child, whose next ones are in another namespace for good.
TEST_F(ProcessSocketTest, InAProcessNamespaceOfItsOwn) {
  constexpr int kForbidden = 77;
  const int answer = InAChild([this] {
    if (unshare(CLONE_NEWPID) != 0) return kForbidden;
    const Elsewhere program(folder_, [] { return getpid() == 1; });
    IsReached(program, RootOf(program));
    const bool is_named = std::filesystem::exists(folder_ + "/shop.1.sock");
    return is_named && !HasFailure() ? 0 : 1;
  });
  if (answer == kForbidden << 8) {
    GTEST_SKIP() << "no process namespace is permitted";
  }
  EXPECT_EQ(answer, 0);
}

TEST_F(ProcessSocketTest, ThoseThatHaveNone) {
  const absl::Status none = FindProgramOf(getpid()).status();
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_TRUE(absl::StrContains(none.message(), "has no manager")) << none;
  const pid_t ended = fork();
  if (ended == 0) _exit(0);
  waitpid(ended, nullptr, 0);
  const absl::Status gone = FindProgramOf(ended).status();
  EXPECT_TRUE(absl::IsNotFound(gone)) << gone;
}

// A name that another process could have given its socket.
TEST_F(ProcessSocketTest, NobodyElseIsTakenForIt) {
  const Elsewhere program(folder_, [] { return true; });
  ASSERT_TRUE(program.listens());
  const Elsewhere other(folder_, [] { return true; });
  ASSERT_TRUE(other.listens());
  const auto name = [&](const Elsewhere& of) {
    return absl::StrCat(folder_, "/shop.", of.pid(), ".sock");
  };
  std::filesystem::rename(name(other), name(program));
  const absl::Status status = FindProgramOf(program.pid()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

}  // namespace
}  // namespace instar
