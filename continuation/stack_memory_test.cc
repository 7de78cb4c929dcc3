// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/stack_memory.h"

#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(StackMemoryTest, IsUsableFromEndToEnd) {
  absl::StatusOr<StackMemory> stack = StackMemory::Take(100000);
  ASSERT_TRUE(stack.ok());
  EXPECT_EQ(stack->low() % 4096, 0u);
  EXPECT_EQ(stack->high() % 64, 0u);
  EXPECT_GE(stack->high() - stack->low(), 100000u);
  EXPECT_LE(stack->high() - stack->low(),
            100000u + 4096 + kStackColors * kStackColorSize);
  std::memset(reinterpret_cast<void*>(stack->low()), 1,
              stack->high() - stack->low());
}

TEST(StackMemoryDeathTest, TheGuardCannotBeWritten) {
  absl::StatusOr<StackMemory> stack = StackMemory::Take();
  ASSERT_TRUE(stack.ok());
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(stack->low() - 1) = 1, "");
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(stack->guard_low()) = 1, "");
}

TEST(StackMemoryTest, SmallSizesAreRaisedToTheMinimum) {
  absl::StatusOr<StackMemory> stack = StackMemory::Take(1);
  ASSERT_TRUE(stack.ok());
  EXPECT_GE(stack->high() - stack->low(), kMinimumStackSize);
}

TEST(StackMemoryTest, WhatIsGivenBackIsTakenAgain) {
  std::uintptr_t low;
  {
    absl::StatusOr<StackMemory> stack = StackMemory::Take();
    low = stack->low();
  }
  EXPECT_EQ(StackMemory::Take()->low(), low);
  EXPECT_EQ(StackMemory::TakeCached().low(), low);
}

TEST(StackMemoryTest, SizesAreKeptApart) {
  { auto stack = StackMemory::Take(64 << 10); }
  absl::StatusOr<StackMemory> larger = StackMemory::Take(256 << 10);
  ASSERT_TRUE(larger.ok());
  EXPECT_GE(larger->high() - larger->low(), 256u << 10);
  EXPECT_TRUE(StackMemory::TakeCached(1 << 20).empty());
}

TEST(StackMemoryTest, MovingMovesTheStack) {
  StackMemory a = *StackMemory::Take();
  const std::uintptr_t low = a.low();
  StackMemory b = std::move(a);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(b.low(), low);
}

TEST(StackMemoryTest, EndsAreSpreadOverCacheSets) {
  std::vector<StackMemory> stacks;
  std::set<std::uintptr_t> offsets;
  for (int i = 0; i < 64; ++i) {
    stacks.push_back(*StackMemory::Take(48 << 10));
    offsets.insert(stacks.back().high() % 4096);
  }
  EXPECT_EQ(offsets.size(), kStackColors);
}

TEST(StackMemoryTest, BeyondTheCacheAndThePoolStacksAreUnmapped) {
  constexpr std::size_t kSize = 1 << 20;
  constexpr std::size_t kStacks = kStackBytesPooled / kSize + 40;
  const std::size_t mapped = GetStackPoolStats().mapped;
  {
    std::vector<StackMemory> stacks;
    for (std::size_t i = 0; i < kStacks; ++i) {
      stacks.push_back(*StackMemory::Take(kSize));
    }
    EXPECT_GE(GetStackPoolStats().mapped, kStacks);
  }
  EXPECT_LE(GetStackPoolStats().mapped,
            mapped + kStackBytesPooled / kSize + kStacksCachedPerThread);
}

TEST(StackMemoryTest, TheSystemsRefusalIsReported) {
  const std::size_t mapped = GetStackPoolStats().mapped;
  for (const std::size_t size :
       {std::size_t{1} << 46, std::size_t{1} << 60, SIZE_MAX - 100000,
        SIZE_MAX - 4095, SIZE_MAX}) {
    const absl::StatusOr<StackMemory> stack = StackMemory::Take(size);
    EXPECT_EQ(stack.status().code(), absl::StatusCode::kResourceExhausted)
        << size;
  }
  EXPECT_EQ(GetStackPoolStats().mapped, mapped);
}

TEST(StackMemoryTest, ThreadsHandStacksToEachOther) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 500; ++i) {
        StackMemory stack = *StackMemory::Take();
        *reinterpret_cast<volatile int*>(stack.high() - 64) = i;
        std::thread([moved = std::move(stack)] {
          *reinterpret_cast<volatile int*>(moved.high() - 64) += 1;
        }).join();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

#ifdef ABSL_HAVE_ADDRESS_SANITIZER
TEST(StackMemoryDeathTest, AStackInTheCacheCannotBeUsed) {
  std::uintptr_t high;
  {
    StackMemory stack = *StackMemory::Take();
    high = stack.high();
  }
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(high - 8) = 1,
               "use-after-poison");
}
#endif

}  // namespace
}  // namespace instar
