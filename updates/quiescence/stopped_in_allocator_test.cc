// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that are stopped anywhere in an allocator, with its locks, do not
// make the thread wait that changes functions meanwhile, whichever allocator
// it is.

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <list>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "base/testing/allocators.h"
#include "gtest/gtest.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/quiescence/blocker.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/stopped_world.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using namespace updates_test;  // NOLINT: the functions under test

TEST(QuiescenceAllocatorInsideTest, RedefineWhileThreadsAllocate) {
  if (!RunsWithAllocator()) GTEST_SKIP() << "run by the other test";
  std::atomic<bool> stop{false};
  std::list<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&stop, t] {
      for (unsigned i = t; !stop; ++i) {
        AllocateLarge();
        AllocateInAllWays(i);
      }
    });
  }
  const auto at_last = [](auto attempt) {
    while (true) {
      const Attempt answer = attempt();
      if (answer.is_done()) return;
      ASSERT_FALSE(answer.is_failed()) << answer.reason();
      std::this_thread::yield();
    }
  };
  for (int i = 0; i < 50; ++i) {
    Change price(Redefine(&Price, &Price2), Stacks::kAllThreads);
    Change relay(Redefine(Redefinitions()
                              .Add(&Relay, &Relay2)
                              .Add(&Send, &Send2)
                              .Add(&Receive, &Receive2)),
                 Stacks::kAllThreads);
    at_last([&] { return price.Apply(); });
    at_last([&] { return relay.Apply(); });
    EXPECT_EQ(Price(7), 207);
    at_last([&] { return relay.Undo(); });
    at_last([&] { return price.Undo(); });
    EXPECT_EQ(Price(7), 107);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

bool HasThread(const std::string& name) {
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream file(task.path() / "comm");
    std::string found;
    if (std::getline(file, found) && found == name) return true;
  }
  return false;
}

TEST(QuiescenceAllocatorThreadsTest, AreStoppedWhileTheyWaitForWork) {
  if (!RunsWithAllocator()) GTEST_SKIP() << "run by the other test";
  while (!HasThread("jemalloc_bg_thd")) AllocateLarge();
  StopOptions options;
  options.stacks = Stacks::kAllThreads;
  options.for_authors_code = true;
  std::string why;
  for (int i = 0; i < 1000; ++i) {
    updates_internal::Obstacles obstacles(updates_internal::Obstacles::kMany);
    StoppedWorld world(options);
    const bool is_stopped = world.Stop(obstacles);
    world.Release();
    if (is_stopped) return;
    const std::vector<Blocker> blockers = obstacles.ToBlockers();
    if (!blockers.empty()) why = blockers.front().reason;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  FAIL() << why;
}

TEST(QuiescenceAllocatorThreadsTest, OfJemalloc) {
  if (RunsWithAllocator()) GTEST_SKIP() << "run by the other test";
  const TestAllocator jemalloc = {"jemalloc",
                                  "libjemalloc.so",
                                  {{"MALLOC_CONF", "background_thread:true"}}};
  std::string why;
  const RunOutcome outcome =
      RunWithAllocator(jemalloc, "*AreStoppedWhileTheyWaitForWork", &why);
  if (outcome == RunOutcome::kNotInstalled) GTEST_SKIP() << why;
  EXPECT_EQ(outcome, RunOutcome::kPassed) << why;
}

class QuiescenceAllocatorTest : public testing::TestWithParam<TestAllocator> {};

TEST_P(QuiescenceAllocatorTest, ThreadsMayBeStoppedInTheAllocator) {
  if (RunsWithAllocator()) GTEST_SKIP() << "run by the other test";
  std::string why;
  const RunOutcome outcome = RunWithAllocator(GetParam(), "*Inside*", &why);
  if (outcome == RunOutcome::kNotInstalled) GTEST_SKIP() << why;
  EXPECT_EQ(outcome, RunOutcome::kPassed) << why;
}

INSTANTIATE_TEST_SUITE_P(Allocators, QuiescenceAllocatorTest,
                         testing::ValuesIn(AllocatorsForTest()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace instar
