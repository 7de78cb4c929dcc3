// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/mapped_array.h"

#include <cstddef>
#include <utility>

#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(MappedArrayTest, Grows) {
  MappedArray<int> array;
  EXPECT_TRUE(array.empty());
  for (int i = 0; i < 10000; ++i) ASSERT_TRUE(array.Add(i));
  ASSERT_EQ(array.size(), 10000u);
  int expected = 0;
  for (const int i : array) EXPECT_EQ(i, expected++);
  array.clear();
  EXPECT_TRUE(array.empty());
  EXPECT_GE(array.capacity(), 10000u);
}

TEST(MappedArrayTest, AddsAnElementOfItsOwn) {
  MappedArray<std::size_t> array;
  ASSERT_TRUE(array.Add(7));
  while (array.size() < array.capacity()) ASSERT_TRUE(array.Add(1));
  ASSERT_TRUE(array.Add(array[0]));
  EXPECT_EQ(array[array.size() - 1], 7u);
}

TEST(MappedArrayTest, Moves) {
  MappedArray<int> first;
  ASSERT_TRUE(first.Add(1));
  MappedArray<int> second = std::move(first);
  ASSERT_EQ(second.size(), 1u);
  MappedArray<int> third;
  third = std::move(second);
  ASSERT_EQ(third.size(), 1u);
  EXPECT_EQ(third[0], 1);
}

TEST(MappedArrayTest, SaysThatThereIsNoMemory) {
  MappedArray<char> array;
  ASSERT_TRUE(array.Add('a'));
  EXPECT_FALSE(array.Reserve(std::size_t{1} << 48));
  ASSERT_EQ(array.size(), 1u);
  EXPECT_EQ(array[0], 'a');
}

}  // namespace
}  // namespace instar
