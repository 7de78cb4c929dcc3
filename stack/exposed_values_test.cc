// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/exposed_values.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"

namespace instar {
namespace {

using testing::HasSubstr;
using Body = Continulet<int(int)>;

TEST(ExposedValuesTest, TheVariableItselfIsExposed) {
  int count = 1;
  ExposedValue expose("count", count);
  count = 2;
  EXPECT_EQ(*ReadExposed<int>("count"), 2);
  **FindExposed<int>("count") = 3;
  EXPECT_EQ(count, 3);
}

// Called through a pointer that the compiler cannot see through.
int ReadCount() {
  const absl::StatusOr<int> count = ReadExposed<int>("count");
  return count.ok() ? *count : -1;
}
int (*volatile read_count)() = &ReadCount;

#ifndef __clang__
__attribute__((noinline, optimize("O3")))
#else
__attribute__((noinline))
#endif
std::vector<int>
CountAndBeRead(int limit) {
  std::vector<int> seen;
  int count = 0;
  ExposedValue expose("count", count);
  for (; count < limit; count += 3) seen.push_back(read_count());
  return seen;
}

TEST(ExposedValuesTest, IsExactInOptimizedLoops) {
  EXPECT_THAT(CountAndBeRead(12), testing::ElementsAre(0, 3, 6, 9));
  EXPECT_EQ(read_count(), -1);
}

TEST(ExposedValuesTest, WhatIsNotThereIsNamedWithWhatIs) {
  int count = 1;
  ExposedValue expose("count", count);
  const absl::Status status = ReadExposed<int>("limit").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.ToString(), HasSubstr("'limit'"));
  EXPECT_THAT(status.ToString(), HasSubstr("count (int)"));
}

TEST(ExposedValuesTest, AnotherTypeIsAnErrorThatNamesBoth) {
  int count = 1;
  ExposedValue expose("count", count);
  const absl::Status status = ReadExposed<unsigned>("count").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.ToString(), HasSubstr("unsigned int"));
  EXPECT_THAT(status.ToString(), HasSubstr("exposed as int"));
}

TEST(ExposedValuesTest, AConstantIsReadAndNotChanged) {
  const std::string name = "display";
  ExposedValue expose("name", name);
  EXPECT_EQ(*ReadExposed<std::string>("name"), "display");
  EXPECT_EQ(*FindExposed<const std::string>("name"), &name);
  EXPECT_EQ(FindExposed<std::string>("name").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ExposedValuesTest, WhatCannotBeCopiedCanBeFound) {
  auto owner = std::make_unique<int>(5);
  ExposedValue expose("owner", owner);
  const auto found = FindExposed<std::unique_ptr<int>>("owner");
  ASSERT_TRUE(found.ok());
  const std::unique_ptr<int> taken = std::move(**found);
  EXPECT_EQ(*taken, 5);
  EXPECT_EQ(owner, nullptr);
}

TEST(ExposedValuesTest, TheInnermostIsFoundAndGoesWithItsScope) {
  int value = 1;
  ExposedValue expose("value", value);
  {
    int inner = 2;
    ExposedValue expose_inner("value", inner);
    EXPECT_EQ(*ReadExposed<int>("value"), 2);
  }
  EXPECT_EQ(*ReadExposed<int>("value"), 1);
  try {
    int thrown = 3;
    ExposedValue expose_thrown("value", thrown);
    throw 0;
  } catch (int) {
  }
  EXPECT_EQ(*ReadExposed<int>("value"), 1);
}

std::vector<int> Descend(int n) {
  int left = n;
  ExposedValue expose("left", left);
  int other = 0;
  ExposedValue expose_other("other", other);
  if (n > 0) return Descend(n - 1);
  std::vector<int> seen;
  const auto found = FindAllExposed<int>("left");
  for (const int* value : *found) seen.push_back(*value);
  return seen;
}

TEST(ExposedValuesTest, EachActivationOfARecursionIsFound) {
  EXPECT_THAT(Descend(4), testing::ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(FindAllExposed<int>("left").status().code(),
            absl::StatusCode::kNotFound);
  long left = 0;
  ExposedValue expose("left", left);
  int inner = 1;
  ExposedValue expose_inner("left", inner);
  EXPECT_EQ(FindAllExposed<int>("left").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ExposedValuesTest, OtherThreadsHaveTheirOwn) {
  int value = 1;
  ExposedValue expose("value", value);
  std::thread([] {
    EXPECT_EQ(ReadExposed<int>("value").status().code(),
              absl::StatusCode::kNotFound);
  }).join();
}

TEST(ExposedValuesTest, ContinuletsComeAndGoInAnyOrder) {
  const auto expose_own = [](Body::Self& self, int first) {
    int value = first;
    ExposedValue expose("value", value);
    self.Switch(0);
    value += 100;
    self.Switch(0);
    return 0;
  };
  int value = 1;
  ExposedValue expose("value", value);
  auto first = std::make_unique<Body>("first", expose_own);
  auto second = std::make_unique<Body>("second", expose_own);
  first->Switch(10);
  second->Switch(20);
  first->Switch(0);
  const auto read = [](const Body& body) {
    const PausedContext context = *body.paused_context();
    return *ReadExposed<int>(
        "value", StackBounds{context.stack_low, context.stack_high});
  };
  EXPECT_EQ(read(*first), 110);
  EXPECT_EQ(read(*second), 20);
  EXPECT_EQ(*ReadExposed<int>("value", StackOfThisThread()), 1);
  first.reset();  // older than the second's
  EXPECT_EQ(read(*second), 20);
  second.reset();
  EXPECT_EQ(*ReadExposed<int>("value"), 1);
}

}  // namespace
}  // namespace instar
