// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Entries change while threads run through them.

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "base/testing/child_process.h"
#include "base/testing/hammer.h"
#include "code/function_entry.h"
#include "code/updatable_functions_for_test.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_test::Answer;
using code_test::Answer2;
using code_test::Answer3;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kFlips = 2000;
#else
constexpr int kFlips = 20000;
#endif

// Calls Answer() from several threads and counts what it says.
class Callers {
 public:
  explicit Callers(int count) : hammer_(count, [this] { Call(); }) {}

  void Stop() { hammer_.Stop(); }

  long wrong() const { return wrong_; }
  // Results of a version that no call that began since Expect() may have had.
  long outdated() const { return outdated_; }
  void Expect(int oldest_version) { oldest_version_ = oldest_version; }
  std::vector<pthread_t> handles() { return hammer_.handles(); }

 private:
  void Call() {
    static thread_local int a = 0;
    const int oldest = oldest_version_.load(std::memory_order_acquire);
    const int result = Answer(a);
    const int version = result / 100;
    if (result % 100 != a || version < 1 || version > 3) ++wrong_;
    if (version < oldest) ++outdated_;
    a = (a + 1) & 63;
  }

  std::atomic<int> oldest_version_{1};
  std::atomic<long> wrong_{0}, outdated_{0};
  Hammer hammer_;
};

TEST(FunctionEntryLoadTest, FlipsWithoutAWrongResult) {
  Callers callers(3);
  Redirection redirection = *Redirect(&Answer, &Answer2);
  for (int i = 1; i < kFlips / 2; ++i) {
    ASSERT_TRUE(redirection.Undo().ok());
    ASSERT_TRUE(redirection.Apply().ok());
  }
  ASSERT_TRUE(redirection.Undo().ok());
  callers.Stop();
  EXPECT_EQ(callers.wrong(), 0);
}

TEST(FunctionEntryLoadTest, NoCallFallsBackBehindTheVersionBefore) {
  Callers callers(3);
  Redirection second = *Redirect(&Answer, &Answer2);
  callers.Expect(2);
  Redirection third = *Redirect(&Answer, &Answer3);
  for (int i = 1; i < kFlips / 2; ++i) {
    ASSERT_TRUE(third.Undo().ok());
    ASSERT_TRUE(third.Apply().ok());
  }
  callers.Stop();
  EXPECT_EQ(callers.wrong(), 0);
  EXPECT_EQ(callers.outdated(), 0);
  ASSERT_TRUE(third.Undo().ok());
  ASSERT_TRUE(second.Undo().ok());
}

TEST(FunctionEntryLoadTest, SeveralThreadsRedirect) {
  Callers callers(1);
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&failures, thread] {
      for (int i = 0; i < 300; ++i) {
        auto redirection = Redirect(&Answer, thread == 0 ? &Answer2 : &Answer3);
        if (!redirection.ok() || !redirection->Undo().ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  callers.Stop();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(callers.wrong(), 0);
  EXPECT_EQ(Answer(1), 101);
}

std::atomic<long> g_signals{0}, g_wrong_in_handler{0};

void CallInHandler(int) {
  for (int i = 0; i < 8; ++i) {
    const int result = Answer(i);
    if (result != 100 + i && result != 200 + i) ++g_wrong_in_handler;
  }
  ++g_signals;
}

TEST(FunctionEntryLoadTest, CalledFromASignalHandlerMeanwhile) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer calls handlers with SIGTRAP blocked";
#endif
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = &CallInHandler;
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  Callers callers(2);
  const std::vector<pthread_t> handles = callers.handles();
  std::atomic<bool> stop{false};
  std::thread signaller([&] {
    while (!stop) {
      for (const pthread_t handle : handles) pthread_kill(handle, SIGUSR1);
      std::this_thread::yield();
    }
  });
  Redirection redirection = *Redirect(&Answer, &Answer2);
  for (int i = 0; i < kFlips / 10 || g_signals < 100; ++i) {
    ASSERT_TRUE(redirection.Undo().ok());
    ASSERT_TRUE(redirection.Apply().ok());
  }
  ASSERT_TRUE(redirection.Undo().ok());
  stop = true;
  signaller.join();
  callers.Stop();
  EXPECT_EQ(callers.wrong(), 0);
  EXPECT_EQ(g_wrong_in_handler, 0);
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST(FunctionEntryLoadTest, ChildPatchesItselfAndNotItsParent) {
  Redirection redirection = *Redirect(&Answer, &Answer2);
  EXPECT_EQ(InAChild([&] {
              if (Answer(1) != 201) return 1;
              return redirection.Undo().ok() && Answer(1) == 101 ? 0 : 2;
            }),
            0);
  EXPECT_EQ(Answer(1), 201);
  ASSERT_TRUE(redirection.Undo().ok());
  EXPECT_EQ(Answer(1), 101);
}

TEST(FunctionEntryLoadTest, ForkWhileEntriesFlip) {
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::thread flipper([&] {
    while (!stop) {
      auto redirection = Redirect(&Answer, &Answer2);
      if (!redirection.ok() || !redirection->Undo().ok()) ++failures;
    }
  });
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(InAChild([] {
                const int result = Answer(1);
                return result == 101 || result == 201 ? 0 : 1;
              }),
              0);
  }
  stop = true;
  flipper.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(Answer(1), 101);
}

}  // namespace
}  // namespace instar
