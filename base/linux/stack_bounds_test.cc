// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/stack_bounds.h"

#include <cstdint>
#include <thread>

#include "gtest/gtest.h"

namespace instar {
namespace {

void ExpectThatThisThreadsStackIsFound() {
  const auto here =
      reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  EXPECT_TRUE(AskForThreadStack().Contains(here));
}

TEST(StackBoundsTest, OfTheFirstThread) { ExpectThatThisThreadsStackIsFound(); }

TEST(StackBoundsTest, OfAnotherThread) {
  std::thread(ExpectThatThisThreadsStackIsFound).join();
}

}  // namespace
}  // namespace instar
