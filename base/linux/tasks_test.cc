// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/sanitizers.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

pid_t ThisThread() { return static_cast<pid_t>(syscall(SYS_gettid)); }

bool IsListed(pid_t tid) {
  bool found = false;
  EXPECT_TRUE(VisitTasks([&](pid_t task) {
    found = found || task == tid;
    return true;
  }));
  return found;
}

TEST(TasksTest, ListsEachThread) {
  EXPECT_TRUE(IsListed(ThisThread()));
  std::thread([] { EXPECT_TRUE(IsListed(ThisThread())); }).join();
}

TEST(TasksTest, ListsMoreThanOneReadingHolds) {
  constexpr std::size_t kMany = 300;
  std::mutex lock;
  std::condition_variable changed;
  std::vector<pid_t> begun;
  bool is_over = false;
  std::vector<std::thread> threads;
  while (threads.size() < kMany) {
    threads.emplace_back([&] {
      std::unique_lock<std::mutex> locked(lock);
      begun.push_back(ThisThread());
      changed.notify_all();
      changed.wait(locked, [&] { return is_over; });
    });
  }
  std::vector<pid_t> listed;
  {
    std::unique_lock<std::mutex> locked(lock);
    changed.wait(locked, [&] { return begun.size() == kMany; });
    EXPECT_TRUE(VisitTasks([&](pid_t tid) {
      listed.push_back(tid);
      return true;
    }));
    is_over = true;
    changed.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
  std::sort(listed.begin(), listed.end());
  EXPECT_EQ(std::adjacent_find(listed.begin(), listed.end()), listed.end());
  std::sort(begun.begin(), begun.end());
  EXPECT_TRUE(
      std::includes(listed.begin(), listed.end(), begun.begin(), begun.end()));
}

TEST(TasksTest, EndsWhenAskedTo) {
  std::thread([] {
    int visits = 0;
    EXPECT_TRUE(VisitTasks([&](pid_t) {
      ++visits;
      return false;
    }));
    EXPECT_EQ(visits, 1);
  }).join();
}

TEST(TasksTest, ReadsWhatFits) {
  char text[8];
  ASSERT_TRUE(ReadTaskFile(ThisThread(), "stat", text, sizeof(text)));
  EXPECT_EQ(std::string(text),
            (std::to_string(ThisThread()) + " (tasks_test").substr(0, 7));
  EXPECT_FALSE(ReadTaskFile(ThisThread(), "no_such", text, sizeof(text)));
}

void* EndTheProcess(void* first) {
  pthread_join(*static_cast<pthread_t*>(first), nullptr);
  char text[64];
  _exit(IsListed(ThisThread()) &&
                ReadTaskFile(ThisThread(), "comm", text, sizeof(text))
            ? 0
            : 1);
}

TEST(TasksTest, SaysWhichSignalsAThreadBlocks) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const std::optional<std::uint64_t> bits = SignalsBlockedBy(ThisThread());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(bits.has_value());
  EXPECT_EQ(*bits >> (SIGUSR2 - 1) & 1, 1u);
  EXPECT_EQ(SignalsBlockedBy(ThisThread()).value_or(~0ull) >> (SIGUSR2 - 1) & 1,
            0u);
  EXPECT_FALSE(SignalsBlockedBy(-1).has_value());
}

TEST(TasksTest, WorksWhenTheFirstThreadHasEnded) {
  INSTAR_SKIP_UNDER_TSAN("it makes no threads in a child");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    static pthread_t first;
    first = pthread_self();
    pthread_t other;
    if (pthread_create(&other, nullptr, &EndTheProcess, &first) != 0) _exit(2);
    // Not pthread_exit(), whose unwinding the test's frames catch.
    syscall(SYS_exit, 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace instar
