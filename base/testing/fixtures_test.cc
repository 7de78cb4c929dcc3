// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "base/testing/child_process.h"
#include "base/testing/eventually.h"
#include "base/testing/gate.h"
#include "base/testing/hammer.h"
#include "base/testing/inside.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(InsideTest, StaysUntilItMayLeave) {
  std::atomic<bool> is_inside{false};
  std::atomic<long> rounds{0};
  Inside inside(
      [&](const Inside::Stay& stay) {
        is_inside = true;
        stay();
        is_inside = false;
      },
      [&] { ++rounds; });
  EXPECT_TRUE(is_inside);
  while (rounds < 10) std::this_thread::yield();
  EXPECT_TRUE(is_inside);
  inside.Leave();
  EXPECT_FALSE(is_inside);
  inside.Leave();
}

TEST(HammerTest, CallsInAllThreadsUntilItsEnd) {
  std::mutex lock;
  std::set<std::thread::id> threads;
  std::atomic<long> calls{0};
  {
    Hammer hammer(3, [&] {
      ++calls;
      std::lock_guard<std::mutex> hold(lock);
      threads.insert(std::this_thread::get_id());
    });
    hammer.AwaitCalls(10);
    EXPECT_EQ(hammer.handles().size(), 3u);
    hammer.Stop();
    EXPECT_EQ(threads.size(), 3u);
    EXPECT_EQ(calls, hammer.calls() + 3);
  }
}

TEST(GateTest, IsPassedWhenItIsOpen) {
  Gate gate;
  EXPECT_FALSE(gate.has_visitor());
  std::atomic<bool> has_passed{false};
  std::thread visitor([&, pass = gate.Waiter()] {
    pass();
    has_passed = true;
  });
  gate.AwaitVisitor();
  EXPECT_TRUE(gate.has_visitor());
  EXPECT_FALSE(has_passed);
  gate.Open();
  visitor.join();
  EXPECT_TRUE(has_passed);
  gate.Waiter()();
}

TEST(EventuallyTest, LooksUntilItHasCome) {
  int looks = 0;
  EXPECT_TRUE(Eventually([&] { return ++looks == 3; }));
  EXPECT_EQ(looks, 3);
  EXPECT_FALSE(Eventually([] { return false; }, std::chrono::seconds(0)));
}

TEST(ChildProcessTest, SaysHowItEnded) {
  EXPECT_EQ(InAChild([] { return 0; }), 0);
  const int failed = InAChild([] { return 3; });
  EXPECT_TRUE(WIFEXITED(failed));
  EXPECT_EQ(WEXITSTATUS(failed), 3);
  EXPECT_NE(InAChild([] { return InAChild([] { return 1; }); }), 0);
  const int killed = InAChild([] { return kill(getpid(), SIGKILL); });
  EXPECT_TRUE(WIFSIGNALED(killed));
  EXPECT_EQ(WTERMSIG(killed), SIGKILL);
}

TEST(ChildProcessTest, OneThatStandsStillIsKilled) {
  const pid_t child = fork();
  if (child == 0) {
    while (true) pause();
  }
  EXPECT_FALSE(AwaitChild(child, std::chrono::seconds(0)).has_value());
}

}  // namespace
}  // namespace instar
