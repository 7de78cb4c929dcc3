// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/socket_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/testing/child_process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/listening_processes.h"
#include "manager/control/socket_name.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

bool Exists(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0;
}

// A folder of its own for each test; short, as paths of sockets must be.
class SocketDirectoryTest : public ::testing::Test {
 protected:
  SocketDirectoryTest() {
    char name[] = "/tmp/instar_test.XXXXXX";
    root_ = mkdtemp(name);
    directory_ = absl::StrCat(root_, "/d");
    setenv("INSTAR_SOCKET_DIRECTORY", directory_.c_str(), 1);
    unsetenv("XDG_RUNTIME_DIR");
    // What a program makes where there is nothing better, in this order.
    for (const std::string& folder : {absl::StrCat("/tmp/instar-", geteuid()),
                                      absl::StrCat("/run/instar/", geteuid()),
                                      std::string("/run/instar")}) {
      if (!Exists(folder)) missing_.push_back(folder);
    }
  }
  ~SocketDirectoryTest() override {
    for (const std::string& folder : missing_) rmdir(folder.c_str());
    EXPECT_EQ(std::system(absl::StrCat("rm -rf ", root_).c_str()), 0);
  }

  // A socket that is bound as a program's would be, by nobody.
  std::string MakeStaleSocket(const std::string& file_name) {
    const std::string path = absl::StrCat(directory_, "/", file_name);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(
        bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
        0);
    close(socket);
    return path;
  }

  std::string root_;
  std::string directory_;
  std::vector<std::string> missing_;
};

TEST_F(SocketDirectoryTest, ChoosesTheFolder) {
  EXPECT_EQ(*PrepareSocketDirectory(), directory_);
  unsetenv("INSTAR_SOCKET_DIRECTORY");
  setenv("XDG_RUNTIME_DIR", root_.c_str(), 1);
  EXPECT_EQ(*PrepareSocketDirectory(), absl::StrCat(root_, "/instar"));
  // Where the system lets this user have a folder in /run, that.
  const std::string in_run = absl::StrCat("/run/instar/", geteuid());
  const std::string in_tmp = absl::StrCat("/tmp/instar-", geteuid());
  setenv("XDG_RUNTIME_DIR", "relative", 1);
  const std::string fallback = *PrepareSocketDirectory();
  EXPECT_THAT(fallback, ::testing::AnyOf(in_run, in_tmp));
  EXPECT_EQ(fallback == in_run, Exists(in_run));
  setenv("XDG_RUNTIME_DIR", absl::StrCat(root_, "/none").c_str(), 1);
  EXPECT_EQ(*PrepareSocketDirectory(), fallback);
  if (geteuid() == 0) {
    const std::string foreign = absl::StrCat(root_, "/foreign");
    mkdir(foreign.c_str(), 0700);
    if (chown(foreign.c_str(), 65534, 65534) == 0) {
      setenv("XDG_RUNTIME_DIR", foreign.c_str(), 1);
      EXPECT_EQ(*PrepareSocketDirectory(), fallback);
    }
  }

  setenv("INSTAR_SOCKET_DIRECTORY", "relative", 1);
  EXPECT_TRUE(absl::IsInvalidArgument(PrepareSocketDirectory().status()));
}

// What RuntimeDirectory= of systemd gives to a service, where it can write
// nowhere else. In a child, in whose mount namespace nothing else is writable.
TEST_F(SocketDirectoryTest, AServiceThatCanWriteNowhereElse) {
  constexpr int kForbidden = 77;
  const std::string service = absl::StrCat(root_, "/service");
  ASSERT_TRUE(std::filesystem::create_directory(service));
  unsetenv("INSTAR_SOCKET_DIRECTORY");
  const int answer = InAChild([&] {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("/run", "/run", "", MS_BIND, nullptr) != 0 ||
        mount("", "/run", "", MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0 ||
        mount("/tmp", "/tmp", "", MS_BIND, nullptr) != 0 ||
        mount("", "/tmp", "", MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0 ||
        mount("tmpfs", service.c_str(), "tmpfs", 0, nullptr) != 0) {
      return kForbidden;
    }
    const absl::Status status = PrepareSocketDirectory().status();
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("Read-only file system"),
                      HasSubstr("RuntimeDirectory=NAME")));
    setenv("RUNTIME_DIRECTORY", absl::StrCat(service, ":/other").c_str(), 1);
    const auto path = PrepareSocketDirectory();
    EXPECT_TRUE(path.ok()) << path.status();
    EXPECT_EQ(path.value_or(""), absl::StrCat(service, "/instar"));
    return HasFailure() ? 1 : 0;
  });
  if (answer == kForbidden << 8) GTEST_SKIP() << "no mounts are permitted";
  EXPECT_EQ(answer, 0);
}

TEST_F(SocketDirectoryTest, MakesTheFolderForItsOwnerAlone) {
  const mode_t before = umask(0);
  ASSERT_TRUE(PrepareSocketDirectory().ok());
  umask(before);
  struct stat status;
  ASSERT_EQ(stat(directory_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
}

TEST_F(SocketDirectoryTest, RefusesAFolderThatOthersMayEnter) {
  mkdir(directory_.c_str(), 0700);
  chmod(directory_.c_str(), 0710);
  for (const absl::Status& status :
       {PrepareSocketDirectory().status(),
        ProgramSocket::Listen("shop").status(), FindPrograms().status()}) {
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("chmod 0700 ", directory_)));
  }
}

TEST_F(SocketDirectoryTest, RefusesTheFolderOfSomebodyElse) {
  mkdir(directory_.c_str(), 0700);
  if (chown(directory_.c_str(), 65534, 65534) != 0) {
    GTEST_SKIP() << "the folder cannot be given away";
  }
  const absl::Status status = FindPrograms().status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("belongs to user 65534"),
                    HasSubstr("$INSTAR_SOCKET_DIRECTORY")));
}

TEST_F(SocketDirectoryTest, RefusesWhatIsNoFolder) {
  ASSERT_EQ(symlink(root_.c_str(), directory_.c_str()), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(PrepareSocketDirectory().status()));
  unlink(directory_.c_str());
  close(open(directory_.c_str(), O_CREAT | O_WRONLY, 0600));
  EXPECT_TRUE(absl::IsFailedPrecondition(PrepareSocketDirectory().status()));
  setenv("INSTAR_SOCKET_DIRECTORY", absl::StrCat(root_, "/a/b").c_str(), 1);
  const absl::Status status = PrepareSocketDirectory().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/a/b"));
}

TEST_F(SocketDirectoryTest, FindsPrograms) {
  EXPECT_THAT(*FindPrograms(), IsEmpty());  // no folder yet
  EXPECT_FALSE(Exists(directory_));
  absl::StatusOr<ProgramSocket> shop = ProgramSocket::Listen("shop");
  ASSERT_TRUE(shop.ok()) << shop.status();
  absl::StatusOr<ProgramSocket> other = ProgramSocket::Listen("shop.2");
  ASSERT_TRUE(other.ok()) << other.status();
  close(open(absl::StrCat(directory_, "/shop.journal").c_str(),
             O_CREAT | O_WRONLY, 0600));
  EXPECT_EQ(fcntl(shop->descriptor(), F_GETFD), FD_CLOEXEC);

  EXPECT_THAT(
      *FindPrograms(),
      UnorderedElementsAre(AllOf(Field(&RunningProgram::name, "shop"),
                                 Field(&RunningProgram::pid, getpid()),
                                 Field(&RunningProgram::socket, shop->path())),
                           Field(&RunningProgram::name, "shop.2")));
  const std::string path = other->path();
  { const ProgramSocket gone = *std::move(other); }
  EXPECT_FALSE(Exists(path));
  EXPECT_EQ(FindPrograms()->size(), 1u);
}

TEST_F(SocketDirectoryTest, FindsThoseWithoutASessionFromWithinOne) {
  unsetenv("INSTAR_SOCKET_DIRECTORY");
  const std::string name = absl::StrCat("instar_test_", getpid());
  {
    absl::StatusOr<ProgramSocket> service = ProgramSocket::Listen(name);
    ASSERT_TRUE(service.ok()) << service.status();
    setenv("XDG_RUNTIME_DIR", root_.c_str(), 1);
    EXPECT_THAT(*FindPrograms(),
                ::testing::Contains(Field(&RunningProgram::name, name)));
  }
}

// Found by what the system knows of sockets and threads.
TEST_F(SocketDirectoryTest, FindsWhatNoFolderShows) {
  std::atomic<bool> done{false};
  std::thread server([&done] {
    pthread_setname_np(pthread_self(), manager_internal::kControlThread);
    while (!done.load(std::memory_order_relaxed)) std::this_thread::yield();
  });
  // The name of the thread can be seen.
  std::string name;
  while (name != manager_internal::kControlThread) {
    char text[16];
    pthread_getname_np(server.native_handle(), text, sizeof(text));
    name = text;
  }
  absl::StatusOr<ProgramSocket> socket = ProgramSocket::Listen("hidden_shop");
  ASSERT_TRUE(socket.ok()) << socket.status();
  const auto is_it = AllOf(Field(&RunningProgram::name, "hidden_shop"),
                           Field(&RunningProgram::socket, socket->path()));
  const auto about_it =
      absl::StrCat("hidden_shop (", getpid(), ") listens on ", socket->path());

  // Where a folder was chosen it is said, and not found.
  setenv("INSTAR_SOCKET_DIRECTORY", absl::StrCat(root_, "/other").c_str(), 1);
  std::vector<std::string> hints;
  EXPECT_THAT(*FindPrograms(&hints), IsEmpty());
  EXPECT_THAT(hints, ::testing::Contains(
                         AllOf(HasSubstr(about_it), HasSubstr("is not in"))));

  unsetenv("INSTAR_SOCKET_DIRECTORY");
  hints.clear();
  EXPECT_THAT(*FindPrograms(&hints), ::testing::Contains(is_it));
  EXPECT_THAT(hints, ::testing::Not(::testing::Contains(HasSubstr(about_it))));

  unlink(socket->path().c_str());
  EXPECT_FALSE(socket->IsReachable());
  EXPECT_THAT(*FindPrograms(&hints),
              ::testing::Not(::testing::Contains(is_it)));
  EXPECT_THAT(hints, ::testing::Contains(AllOf(
                         HasSubstr(about_it), HasSubstr("cannot be reached"))));
  done = true;
  server.join();
}

TEST_F(SocketDirectoryTest, RemovesStaleSockets) {
  ASSERT_TRUE(PrepareSocketDirectory().ok());
  const std::string stale = MakeStaleSocket("shop.1.sock");
  const std::string foreign = MakeStaleSocket("other.sock");
  EXPECT_THAT(*FindPrograms(), IsEmpty());
  EXPECT_FALSE(Exists(stale));
  EXPECT_TRUE(Exists(foreign)) << "it is none of ours";

  MakeStaleSocket("shop.1.sock");
  absl::StatusOr<ProgramSocket> socket = ProgramSocket::Listen("shop");
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_FALSE(Exists(stale));
}

// Numbers of processes are used again.
TEST_F(SocketDirectoryTest, AStaleSocketOfTheSameNameIsNoHindrance) {
  ASSERT_TRUE(PrepareSocketDirectory().ok());
  MakeStaleSocket(absl::StrCat("shop.", getpid(), ".sock"));
  absl::StatusOr<ProgramSocket> socket = ProgramSocket::Listen("shop");
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(FindPrograms()->size(), 1u);
}

TEST_F(SocketDirectoryTest, RemovesTheSocketOfAProgramThatWasKilled) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const absl::StatusOr<ProgramSocket> socket = ProgramSocket::Listen("shop");
    if (write(ready[1], socket.ok() ? "y" : "n", 1) != 1) _exit(1);
    while (true) pause();
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  const auto programs = FindPrograms();
  ASSERT_EQ(programs->size(), 1u);
  EXPECT_EQ(programs->front().pid, child);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_THAT(*FindPrograms(), IsEmpty());
  EXPECT_FALSE(Exists(programs->front().socket));
}

TEST_F(SocketDirectoryTest, AForkedChildLeavesTheNameAlone) {
  absl::StatusOr<ProgramSocket> socket = ProgramSocket::Listen("shop");
  ASSERT_TRUE(socket.ok()) << socket.status();
  const pid_t child = fork();
  if (child == 0) {
    { const ProgramSocket gone = *std::move(socket); }
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(Exists(socket->path()));
}

// The file of the new one may have got the number of the old one.
TEST_F(SocketDirectoryTest, ANameThatWasForgottenStays) {
  absl::StatusOr<ProgramSocket> first = ProgramSocket::Listen("shop");
  ASSERT_TRUE(first.ok()) << first.status();
  close(first->descriptor());  // as the program does that does not know of it
  absl::StatusOr<ProgramSocket> second = ProgramSocket::Listen("shop");
  ASSERT_TRUE(second.ok()) << second.status();
  const std::string path = second->path();
  ASSERT_EQ(first->path(), path);
  first->ForgetName();
  { const ProgramSocket gone = *std::move(first); }
  EXPECT_TRUE(Exists(path));
  EXPECT_TRUE(second->IsReachable());
}

TEST_F(SocketDirectoryTest, OneSocketOfANameInAProcess) {
  absl::StatusOr<ProgramSocket> first = ProgramSocket::Listen("shop");
  ASSERT_TRUE(first.ok()) << first.status();
  absl::StatusOr<ProgramSocket> second = ProgramSocket::Listen("shop");
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_EQ(FindPrograms()->size(), 1u);
}

TEST_F(SocketDirectoryTest, RefusesNames) {
  for (const char* name : {"", "a/b", ".hidden", ".."}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ProgramSocket::Listen(name).status()))
        << name;
  }
}

TEST_F(SocketDirectoryTest, RefusesAPathThatIsTooLong) {
  const std::string ending = absl::StrCat(".", getpid(), ".sock");
  const std::size_t room =
      kMaxSocketPath - directory_.size() - 1 - ending.size();
  const absl::Status status =
      ProgramSocket::Listen(std::string(room + 1, 'x')).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("has 108 bytes, and the system takes 107"),
                    HasSubstr("$INSTAR_SOCKET_DIRECTORY")));
  const absl::StatusOr<ProgramSocket> longest =
      ProgramSocket::Listen(std::string(room, 'x'));
  ASSERT_TRUE(longest.ok()) << longest.status();
  EXPECT_TRUE(ConnectTo(longest->path()).ok());
}

// A stopped process that holds the lock: nothing is removed, nobody hangs.
TEST_F(SocketDirectoryTest, ALockedFolderIsReadNevertheless) {
  ASSERT_TRUE(PrepareSocketDirectory().ok());
  const std::string stale = MakeStaleSocket("shop.1.sock");
  absl::StatusOr<ProgramSocket> living = ProgramSocket::Listen("living");
  MakeStaleSocket("shop.1.sock");
  const int directory = open(directory_.c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(flock(directory, LOCK_EX), 0);
  EXPECT_EQ(FindPrograms()->size(), 1u);
  EXPECT_TRUE(Exists(stale));
  const absl::Status status = ProgramSocket::Listen("shop").status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  close(directory);
  EXPECT_EQ(FindPrograms()->size(), 1u);
  EXPECT_FALSE(Exists(stale));
}

TEST_F(SocketDirectoryTest, SaysWhyItCannotConnect) {
  ASSERT_TRUE(PrepareSocketDirectory().ok());
  EXPECT_TRUE(
      absl::IsNotFound(ConnectTo(absl::StrCat(directory_, "/x")).status()));
  EXPECT_TRUE(absl::IsNotFound(ConnectTo(MakeStaleSocket("x")).status()));
}

// Programs start and end while others look: none is ever missing from the
// folder while it listens.
TEST_F(SocketDirectoryTest, NoLivingSocketIsTakenForAStaleOne) {
  ASSERT_TRUE(PrepareSocketDirectory().ok());
  std::atomic<bool> done{false};
  std::vector<std::thread> observers;
  for (int i = 0; i < 2; ++i) {
    observers.emplace_back([&done] {
      while (!done.load(std::memory_order_relaxed)) {
        EXPECT_TRUE(FindPrograms().ok());
      }
    });
  }
  std::vector<std::thread> programs;
  for (int i = 0; i < 3; ++i) {
    programs.emplace_back([i] {
      for (int round = 0; round < 200; ++round) {
        absl::StatusOr<ProgramSocket> socket =
            ProgramSocket::Listen(absl::StrCat("program", i));
        ASSERT_TRUE(socket.ok()) << socket.status();
        ASSERT_TRUE(Exists(socket->path())) << "round " << round;
        // Unavailable: the observers' connections wait to be accepted.
        const absl::Status status = ConnectTo(socket->path()).status();
        ASSERT_TRUE(status.ok() || absl::IsUnavailable(status)) << status;
      }
    });
  }
  for (std::thread& program : programs) program.join();
  done.store(true, std::memory_order_relaxed);
  for (std::thread& observer : observers) observer.join();
}

TEST(SocketNameTest, IsParsedFromItsEnd) {
  using manager_internal::ParseSocketName;
  std::string name;
  pid_t pid = 0;
  ASSERT_TRUE(ParseSocketName("my.shop.42.sock", &name, &pid));
  EXPECT_EQ(name, "my.shop");
  EXPECT_EQ(pid, 42);
  EXPECT_EQ(manager_internal::SocketName("my.shop", 42), "my.shop.42.sock");
  for (const char* other :
       {"shop.journal", "shop.sock", ".42.sock", "shop.-1.sock", "shop.0.sock",
        "shop.+1.sock", "shop. 1.sock", "shop.99999999999.sock", ".sock", ""}) {
    EXPECT_FALSE(ParseSocketName(other, &name, &pid)) << other;
  }
}

}  // namespace
}  // namespace instar
