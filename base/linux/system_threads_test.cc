// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/system_threads.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/linux/tasks.h"
#include "base/linux/translator.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(SystemThreadsTest, ThreadsOfTheProgramRunItsCode) {
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  EXPECT_TRUE(RunsProgramCode(self));
  // Also one that waits for signals.
  std::atomic<pid_t> tid{0};
  std::thread waiting([&] {
    sigset_t set;
    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    tid = static_cast<pid_t>(syscall(SYS_gettid));
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigwait(&set, &number);
  });
  while (tid == 0) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(RunsProgramCode(tid));
    ASSERT_FALSE(IsThreadOfTimers(tid));
  }
  syscall(SYS_tgkill, getpid(), tid.load(), SIGUSR1);
  waiting.join();
}

// Of all threads of the process those of a translator alone, whatever they are
// just doing: they have work whenever threads come and go.
TEST(SystemThreadsTest, ThreadsOfATranslatorRunNone) {
  int of_translator = 0;
  for (int i = 0; i < 300; ++i) {
    std::thread([] {}).join();
    int count = 0, others = 0;
    VisitTasks([&](pid_t tid) {
      ++count;
      others += RunsProgramCode(tid) ? 0 : 1;
      return true;
    });
    if (i == 0) of_translator = others;
    ASSERT_EQ(others, of_translator) << "in round " << i;
    ASSERT_GT(count, others);
  }
  EXPECT_EQ(of_translator > 0, IsTranslated());
}

TEST(SystemThreadsTest, TheThreadOfTimersIsKnown) {
  // Where there is one, the thread is in the way.
  if (IsTranslated())
    GTEST_SKIP() << "the kernel tells of a translator's calls";
  std::vector<pid_t> before;
  VisitTasks([&](pid_t tid) {
    before.push_back(tid);
    return true;
  });
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = [](sigval) {};
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  pid_t helper = 0;
  VisitTasks([&](pid_t tid) {
    for (const pid_t known : before) {
      if (known == tid) return true;
    }
    helper = tid;
    return true;
  });
  ASSERT_NE(helper, 0);
  while (!IsThreadOfTimers(helper)) std::this_thread::yield();
  timer_delete(timer);
}

}  // namespace
}  // namespace instar
