// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// With slots, which this is compiled for on every processor (BUILD).

#include "code/updatable_function.h"

#include <memory>
#include <string>

#include "code/redefinable.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

static_assert(!kHasFunctionEntries);

}  // namespace

namespace updatable_function_test {

INSTAR_UPDATABLE_FUNCTION(std::string, Describe,
                          (std::unique_ptr<int> number,
                           const std::string& unit));

// What is initialized before the slot is may call it.
std::string DescribeEarly() { return Describe(std::make_unique<int>(1), "m"); }
const std::string early = DescribeEarly();

INSTAR_UPDATABLE_FUNCTION_BODY(std::string, Describe,
                               (std::unique_ptr<int> number,
                                const std::string& unit)) {
  return std::to_string(*number) + " " + unit;
}

std::string DescribeShortly(std::unique_ptr<int> number, const std::string&) {
  return std::to_string(*number);
}

TEST(UpdatableFunctionTest, IsCalledByItsName) {
  EXPECT_EQ(early, "1 m");
  EXPECT_EQ(Describe(std::make_unique<int>(2), "km"), "2 km");
}

TEST(UpdatableFunctionTest, IsRedefinedByItsName) {
  RedefinableRedirection redirection(Describe, &DescribeShortly);
  redirection.Apply();
  EXPECT_EQ(Describe(std::make_unique<int>(2), "km"), "2");
  redirection.Undo();
  EXPECT_EQ(Describe(std::make_unique<int>(2), "km"), "2 km");
}

}  // namespace updatable_function_test
}  // namespace instar
