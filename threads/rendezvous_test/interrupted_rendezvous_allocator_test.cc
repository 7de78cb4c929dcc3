// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whoever holds threads may allocate: none of them is in the allocator,
// whichever that is.

#include <atomic>
#include <chrono>
#include <list>
#include <string>
#include <thread>

#include "base/testing/allocators.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"

namespace instar {
namespace {

// One thread that is in the allocator nearly always, mostly in a system call.
void HoldWhoReturnsMemory() {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("returns memory", [&stop] {
    for (unsigned i = 1; !stop; ++i) {
      AllocateLarge();
      if (i % 16 == 0) UpdatePoint();
    }
  });
  RendezvousOptions options;
  options.limit = std::chrono::seconds(1);
  options.grace = std::chrono::microseconds(20);
  for (int held = 0; held < 300;) {
    const auto rendezvous = Rendezvous::HoldAll(options);
    if (!rendezvous.ok()) continue;
    AllocateLarge();
    ++held;
  }
  stop = true;
}

// Some that are held in other system calls.
void HoldMany() {
  std::atomic<bool> stop{false};
  std::list<ControlledThread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.push_back(StartPassiveThread("allocates", [&stop, t] {
      unsigned seed = t;
      while (!stop) {
        AllocateInAllWays(++seed);
        // So that a rendezvous comes about that holds others in system calls.
        if (seed % 4 == t) {
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        if (seed % 64 == 0) UpdatePoint();
      }
    }));
  }
  RendezvousOptions options;
  options.limit = std::chrono::milliseconds(30);
  options.grace = std::chrono::microseconds(50);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  unsigned held = 0;
  while (held == 0 || std::chrono::steady_clock::now() < end) {
    const auto rendezvous = Rendezvous::HoldAll(options);
    if (!rendezvous.ok()) continue;
    for (unsigned i = 0; i < 8; ++i) AllocateInAllWays(held + i);
    ++held;
  }
  stop = true;
}

TEST(InterruptedRendezvousAllocatorInsideTest, HoldAndAllocate) {
  if (!RunsWithAllocator()) GTEST_SKIP() << "run by the other test";
  HoldWhoReturnsMemory();
  HoldMany();
}

class InterruptedRendezvousAllocatorTest
    : public testing::TestWithParam<TestAllocator> {};

TEST_P(InterruptedRendezvousAllocatorTest, WhoHoldsMayAllocate) {
  if (RunsWithAllocator()) GTEST_SKIP() << "run by the other test";
  std::string why;
  const RunOutcome outcome = RunWithAllocator(GetParam(), "*Inside*", &why);
  if (outcome == RunOutcome::kNotInstalled) GTEST_SKIP() << why;
  EXPECT_EQ(outcome, RunOutcome::kPassed) << why;
}

INSTANTIATE_TEST_SUITE_P(Allocators, InterruptedRendezvousAllocatorTest,
                         testing::ValuesIn(AllocatorsForTest()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace instar
