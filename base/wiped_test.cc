// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/wiped.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(WipedTest, TheElementsOfAVectorThatKeepsItsMemory) {
  std::vector<std::uintptr_t> addresses(100, 7);
  addresses.resize(50);  // the other half is written still
  const std::uintptr_t* const memory = addresses.data();
  Wipe(addresses);
  EXPECT_TRUE(addresses.empty());
  ASSERT_EQ(addresses.capacity(), 100u);
  EXPECT_EQ(std::count(memory, memory + 100, 0u), 100);
}

TEST(WipedTest, AVectorWithoutMemory) {
  std::vector<std::uintptr_t> none;
  Wipe(none);
  EXPECT_TRUE(none.empty());
}

}  // namespace
}  // namespace instar
