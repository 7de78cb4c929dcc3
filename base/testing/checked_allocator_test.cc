// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "base/no_allocation.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

// Nothing that the compiler could leave out.
template <typename T>
void Keep(T* value) {
  asm volatile("" : : "r"(value) : "memory");
}

void AllocateHere() {
  const NoAllocation others_are_held;
  std::vector<int> numbers(100);
  Keep(numbers.data());
}

void FreeHere() {
  auto number = std::make_unique<int>(1);
  Keep(number.get());
  const NoAllocation others_are_held;
  number.reset();
}

void CallMallocHere() {
  const NoAllocation others_are_held;
  void* const memory = malloc(1);
  Keep(memory);
  free(memory);
}

TEST(CheckedAllocatorDeathTest, EndsWhoAllocatesWhereItMustNot) {
  EXPECT_DEATH(AllocateHere(), "malloc\\(\\) while this thread holds others");
  EXPECT_DEATH(CallMallocHere(), "malloc\\(\\) while");
  EXPECT_DEATH(FreeHere(), "free\\(\\) while this thread holds others");
}

TEST(CheckedAllocatorTest, AuthorsCodeMayAllocate) {
  const NoAllocation others_are_held;
  const AuthorsCode allowed;
  const std::string text(1000, 'a');
  Keep(text.data());
}

TEST(CheckedAllocatorTest, AllElseIsAllowed) {
  void* memory = nullptr;
  ASSERT_EQ(posix_memalign(&memory, 64, 100), 0);
  Keep(memory);
  memory = realloc(memory, 200);
  Keep(memory);
  free(memory);
  memory = calloc(10, 10);
  Keep(memory);
  free(memory);
}

}  // namespace
}  // namespace instar
