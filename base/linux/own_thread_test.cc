// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/own_thread.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/testing/child_process.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(OwnThreadTest, BlocksTheProgramsSignalsAndNoFaults) {
  EXPECT_FALSE(IsOwnThread());
  sigset_t mask;
  sigemptyset(&mask);
  bool is_own = false;
  absl::StatusOr<std::thread> thread = StartOwnThread("own", [&] {
    is_own = IsOwnThread();
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  });
  ASSERT_TRUE(thread.ok()) << thread.status();
  thread->join();
  EXPECT_TRUE(is_own);
  EXPECT_EQ(sigismember(&mask, SIGTERM), 1);
  EXPECT_EQ(sigismember(&mask, SIGHUP), 1);
  EXPECT_EQ(sigismember(&mask, SIGSEGV), 0);
  EXPECT_EQ(sigismember(&mask, SIGTRAP), 0);
}

TEST(OwnThreadTest, TakesFaultsAlsoIfTheCallerBlocksAll) {
  sigset_t all, before, mask;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  absl::StatusOr<std::thread> thread = StartOwnThread(
      "own", [&] { pthread_sigmask(SIG_BLOCK, nullptr, &mask); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(thread.ok()) << thread.status();
  thread->join();
  EXPECT_EQ(sigismember(&mask, SIGTERM), 1);
  EXPECT_EQ(sigismember(&mask, SIGSEGV), 0);
  EXPECT_EQ(sigismember(&mask, SIGTRAP), 0);
}

TEST(OwnThreadTest, LeavesTheMaskOfTheCallerAlone) {
  sigset_t before, after;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  absl::StatusOr<std::thread> thread = StartOwnThread("own", [] {});
  ASSERT_TRUE(thread.ok()) << thread.status();
  thread->join();
  pthread_sigmask(SIG_BLOCK, nullptr, &after);
  for (int number = 1; number < 32; ++number) {
    EXPECT_EQ(sigismember(&before, number), sigismember(&after, number));
  }
}

TEST(OwnThreadTest, IsKnownToOthersWhileItRuns) {
  const OwnThreads before = CountOwnThreads();
  std::atomic<pid_t> tid{0};
  std::atomic<bool> stop{false};
  absl::StatusOr<std::thread> thread = StartOwnThread("own", [&] {
    tid = static_cast<pid_t>(syscall(SYS_gettid));
    while (!stop) std::this_thread::yield();
  });
  ASSERT_TRUE(thread.ok()) << thread.status();
  EXPECT_EQ(CountOwnThreads().count, before.count + 1);  // already
  while (tid == 0) std::this_thread::yield();
  EXPECT_TRUE(IsOwnThread(tid));
  EXPECT_FALSE(IsOwnThread(getpid()));
  EXPECT_EQ(CountOwnThreads().count, before.count + 1);
  EXPECT_NE(CountOwnThreads().changes, before.changes);
  const pid_t child = fork();
  if (child == 0) {  // where it is not
    _exit(CountOwnThreads().count + (IsOwnThread(tid) ? 1 : 0));
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  const OwnThreads with = CountOwnThreads();
  stop = true;
  thread->join();
  EXPECT_FALSE(IsOwnThread(tid));
  EXPECT_EQ(CountOwnThreads().count, before.count);
  EXPECT_NE(CountOwnThreads().changes, with.changes);
}

TEST(OwnThreadTest, SomeRunTheLibraryAlone) {
  for (const OwnThreadRuns runs :
       {OwnThreadRuns::kAnything, OwnThreadRuns::kLibraryAlone}) {
    absl::StatusOr<std::thread> thread = StartOwnThread(
        "own",
        [runs] {
          const auto tid = static_cast<pid_t>(syscall(SYS_gettid));
          EXPECT_TRUE(IsOwnThread(tid));
          EXPECT_EQ(RunsLibraryAlone(tid),
                    runs == OwnThreadRuns::kLibraryAlone);
          EXPECT_FALSE(RunsLibraryAlone(getpid()));
        },
        runs);
    ASSERT_TRUE(thread.ok()) << thread.status();
    thread->join();
  }
}

// In a process of its own: it is for good, and for the whole process.
TEST(OwnThreadTest, KeepsTheRootThatTheProgramHad) {
  EXPECT_EQ(InAChild([] {
              if (chdir("/proc") != 0) return 1;
              KeepRootOfOwnThreads();
              std::promise<void> has_left;
              std::string folder;
              absl::StatusOr<std::thread> thread =
                  StartOwnThread("own", [&folder, &has_left] {
                    has_left.get_future().wait();
                    char path[PATH_MAX];
                    if (getcwd(path, sizeof(path)) != nullptr) folder = path;
                    if (access("/proc", F_OK) != 0) folder = "no /proc";
                  });
              if (!thread.ok()) return 2;
              // Only root may change it.
              const bool is_elsewhere =
                  chdir("/tmp") == 0 && chroot("/proc/self/task") == 0;
              has_left.set_value();
              thread->join();
              if (folder != "/") return 3;
              return is_elsewhere || geteuid() != 0 ? 0 : 4;
            }),
            0);
}

TEST(OwnThreadTest, KnowsWhatTheProgramBlocks) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGUSR2);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &wanted, &before);
  sigset_t here = SignalsBlockedByProgram();
  EXPECT_EQ(sigismember(&here, SIGUSR2), 1);
  EXPECT_EQ(sigismember(&here, SIGTERM), 0);
  sigset_t there;
  absl::StatusOr<std::thread> thread =
      StartOwnThread("own", [&] { there = SignalsBlockedByProgram(); });
  ASSERT_TRUE(thread.ok()) << thread.status();
  thread->join();
  EXPECT_EQ(sigismember(&there, SIGUSR2), 1);
  EXPECT_EQ(sigismember(&there, SIGTERM), 0);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace instar
