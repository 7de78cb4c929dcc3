// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/no_allocation.h"

#include <thread>

#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(NoAllocationTest, ScopesNest) {
  EXPECT_FALSE(NoAllocation::IsOnThisThread());
  {
    const NoAllocation outer;
    {
      const NoAllocation inner;
      EXPECT_TRUE(NoAllocation::IsOnThisThread());
    }
    EXPECT_TRUE(NoAllocation::IsOnThisThread());
  }
  EXPECT_FALSE(NoAllocation::IsOnThisThread());
}

TEST(NoAllocationTest, AuthorsCodeIsOutside) {
  const NoAllocation outer;
  {
    const AuthorsCode allowed;
    EXPECT_FALSE(NoAllocation::IsOnThisThread());
    {
      const NoAllocation inner;
      EXPECT_TRUE(NoAllocation::IsOnThisThread());
    }
    EXPECT_FALSE(NoAllocation::IsOnThisThread());
  }
  EXPECT_TRUE(NoAllocation::IsOnThisThread());
}

TEST(NoAllocationTest, IsOfOneThread) {
  const NoAllocation here;
  std::thread([] { EXPECT_FALSE(NoAllocation::IsOnThisThread()); }).join();
}

}  // namespace
}  // namespace instar
