// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that are stopped anywhere in an allocator, with its locks, do not
// make the thread wait that changes functions meanwhile, whichever allocator
// it is.

#include <atomic>
#include <list>
#include <string>
#include <thread>

#include "base/testing/allocators.h"
#include "gtest/gtest.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
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
