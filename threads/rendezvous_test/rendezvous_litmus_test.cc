// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What update points and rendezvous claim of the order of memory, by two
// threads, at a million update points: variables that are no atomics are as
// their last writer left them, on both sides.

#include <chrono>
#include <cstdint>
#include <thread>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"

namespace instar {
namespace {

constexpr std::uint64_t kPoints = 1'000'000;

TEST(RendezvousLitmusTest, EachSeesWhatTheOtherHasDone) {
  // Of the thread: how many points it has come to, and what it was told.
  std::uint64_t passed = 0;
  std::uint64_t heard = 0;
  // Of who holds it.
  std::uint64_t told = 0;
  std::uint64_t not_heard = 0;
  {
    ControlledThread thread = StartPassiveThread("litmus", [&] {
      while (passed < kPoints) {
        heard = told;
        ++passed;
        UpdatePoint();
      }
    });
    std::uint64_t last = 0;
    while (last < kPoints) {
      RendezvousOptions options;
      options.limit = std::chrono::seconds(60);
      auto held = Rendezvous::HoldAll(options);
      ASSERT_TRUE(held.ok()) << held.status();
      ASSERT_GE(passed, last);
      // It has gone on since, and has come here again.
      if (passed > last && last > 0) not_heard += heard == told ? 0 : 1;
      last = passed;
      ++told;
    }
  }
  EXPECT_EQ(not_heard, 0u) << "of " << told;
  EXPECT_EQ(passed, kPoints);
}

}  // namespace
}  // namespace instar
