// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/library_code.h"

#include <thread>

#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(LibraryCodeTest, ScopesNestAndAreOfTheirThread) {
  EXPECT_FALSE(LibraryCode::IsOnThisThread());
  {
    const LibraryCode outer;
    EXPECT_TRUE(LibraryCode::IsOnThisThread());
    {
      const LibraryCode inner;
      EXPECT_TRUE(LibraryCode::IsOnThisThread());
    }
    EXPECT_TRUE(LibraryCode::IsOnThisThread());
    std::thread([] { EXPECT_FALSE(LibraryCode::IsOnThisThread()); }).join();
  }
  EXPECT_FALSE(LibraryCode::IsOnThisThread());
}

}  // namespace
}  // namespace instar
