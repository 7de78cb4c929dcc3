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

TEST(NoAllocationTest, AuthorsCodeHasANameWhileOthersAreHeld) {
  const AuthorsPart part("swap the table");
  const AuthorsCode others_run;
  EXPECT_EQ(AuthorsPart::Running(), nullptr);
  const NoAllocation others_are_held;
  EXPECT_EQ(AuthorsPart::Running(), nullptr);
  {
    const AuthorsCode its_own;
    EXPECT_STREQ(AuthorsPart::Running(), "swap the table");
    {
      const AuthorsPart free(nullptr);
      EXPECT_EQ(AuthorsPart::Running(), nullptr);
    }
    {
      const NoAllocation inner;
      EXPECT_EQ(AuthorsPart::Running(), nullptr);
      const AuthorsCode its_own_again;
      EXPECT_STREQ(AuthorsPart::Running(), "swap the table");
    }
    EXPECT_STREQ(AuthorsPart::Running(), "swap the table");
  }
  EXPECT_EQ(AuthorsPart::Running(), nullptr);
  EXPECT_STREQ(AuthorsPart::Innermost(), "swap the table");
}

TEST(NoAllocationTest, IsOfOneThread) {
  const NoAllocation here;
  std::thread([] { EXPECT_FALSE(NoAllocation::IsOnThisThread()); }).join();
}

}  // namespace
}  // namespace instar
