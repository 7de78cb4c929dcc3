// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/find_functions.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "code/inlined_functions_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Not;

// Of this namespace, with code of their own.
std::vector<std::string> NamesOf(const FoundFunctions& found) {
  std::vector<std::string> names;
  for (const Function& function : found.functions) {
    names.push_back(function.name());
  }
  return names;
}

FoundFunctions FindInlined() {
  return FindFunctions([](absl::string_view name) {
    return absl::StartsWith(name, "_ZN7inlined");
  });
}

TEST(FindFunctions, FindsAllThatMatchAndNoOther) {
  const FoundFunctions found = FindInlined();
  const std::vector<std::string> names = NamesOf(found);
  EXPECT_THAT(names, Contains("inlined::CallsShared(int)"));
  EXPECT_THAT(names, Contains("inlined::NeverInlined(int)"));
  for (const std::string& name : names) {
    EXPECT_THAT(name, testing::HasSubstr("inlined::"));
  }
  EXPECT_THAT(found.unknown, IsEmpty());
  EXPECT_THAT(FindFunctions([](absl::string_view) { return false; }).functions,
              IsEmpty());
}

TEST(FindFunctions, ObjectsOfTheSystemAreLookedAtAndSaidToBeStripped) {
  const FoundFunctions found =
      FindFunctions([](absl::string_view name) { return name == "l64a"; });
  ASSERT_EQ(found.functions.size(), 1u);
  EXPECT_EQ(found.functions[0].entry(), reinterpret_cast<uintptr_t>(&l64a));
  ASSERT_EQ(found.unknown.size(), 1u);
  EXPECT_THAT(found.unknown[0].name, testing::HasSubstr("libc.so"));
  EXPECT_TRUE(found.unknown[0].code.Contains(found.functions[0].entry()));
  EXPECT_FALSE(found.unknown[0].is_program);
  EXPECT_THAT(found.unknown[0].why, testing::HasSubstr("stripped"));
}

TEST(FindFunctions, ByAPartOfTheName) {
  const auto all = [](absl::string_view name) {
    return absl::StrContains(name, "7inlined");
  };
  FindOptions options;
  options.parts = {"7inlined"};
  const FoundFunctions by_index = FindFunctions(all, options);
  EXPECT_THAT(NamesOf(by_index), Contains("inlined::CallsShared(int)"));
  EXPECT_EQ(NamesOf(by_index), NamesOf(FindFunctions(all)));
  EXPECT_EQ(by_index.inlined.size(), FindFunctions(all).inlined.size());
  EXPECT_FALSE(by_index.inlined.empty());
  options.parts = {"7nowhere", "12NeverInlined"};
  EXPECT_THAT(NamesOf(FindFunctions(all, options)),
              testing::ElementsAre("inlined::NeverInlined(int)"));
  options.parts = {"7nowhere"};
  EXPECT_THAT(FindFunctions(all, options).functions, IsEmpty());
}

std::vector<std::string> HoldersOf(const FoundFunctions& found,
                                   absl::string_view function) {
  std::vector<std::string> names;
  for (const InlinedFunction& inlined : found.inlined) {
    if (inlined.name != function) continue;
    names.push_back(inlined.copy.into.name());
    EXPECT_TRUE(inlined.copy.into.Contains(inlined.copy.range.begin));
  }
  return names;
}

// A function that was inlined wherever it was called has no symbol.
TEST(FindFunctions, Copies) {
  const FoundFunctions found = FindInlined();
  EXPECT_THAT(HoldersOf(found, "inlined::OnlyInlined(int)"),
              Each("inlined::CallsOnlyInlined(int)"));
  EXPECT_THAT(HoldersOf(found, "inlined::OnlyInlined(int)"), Not(IsEmpty()));
  EXPECT_THAT(NamesOf(found), Not(Contains("inlined::OnlyInlined(int)")));
  // Has code of its own, too.
  EXPECT_THAT(NamesOf(found), Contains("inlined::Shared(int)"));
  EXPECT_THAT(HoldersOf(found, "inlined::Shared(int)"),
              AllOf(Contains("inlined::CallsShared(int)"),
                    Contains("inlined::ElsewhereCallsShared(int)")));
}

}  // namespace
}  // namespace instar
