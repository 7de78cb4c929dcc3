// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Linked with --icf=all.

#include "code/program_check/folded_functions.h"

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "code/function_entry.h"
#include "code/program_check/folded_functions_for_test.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_test::Other;
using code_test::Price;
using code_test::Weight;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool AreFolded() {
  int (*volatile price)(int) = &Price;
  int (*volatile weight)(int) = &Weight;
  return price == weight;
}

TEST(FoldedFunctionsTest, RedirectionOfOneOfThemIsRefusedByName) {
  if (!AreFolded()) GTEST_SKIP() << "this linker folds nothing";
  const absl::Status status = Redirect(&Price, &Other).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("code_test::Price(int)"));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("code_test::Weight(int)"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("icf"));
  EXPECT_EQ(Weight(1), 10);
}

TEST(FoldedFunctionsTest, ThoseThatAreFoldedAreNamed) {
  if (!AreFolded()) GTEST_SKIP() << "this linker folds nothing";
  const auto function = Function::Of(&Price);
  ASSERT_TRUE(function.ok());
  EXPECT_EQ(FunctionsFoldedInto(*function)->size(), 1u);
}

TEST(FoldedFunctionsTest, DeclaredAliasIsNone) {
  const auto function = Function::Of(&code_test::instar_test_declared);
  ASSERT_TRUE(function.ok());
  ASSERT_EQ(function->linkage_names().size(), 2u);
  EXPECT_THAT(*FunctionsFoldedInto(*function), IsEmpty());
  auto redirection = Redirect(&code_test::instar_test_declared, &Other);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_EQ(code_test::instar_test_alias(1), -999);
  EXPECT_TRUE(redirection->Undo().ok());
}

TEST(FoldedFunctionsTest, KindsOfAConstructorAreNone) {
  const auto function =
      Function::Named("instar::code_test::Counter::Counter(int)");
  ASSERT_TRUE(function.ok()) << function.status();
  ASSERT_EQ(function->linkage_names().size(), 2u);
  EXPECT_THAT(*FunctionsFoldedInto(*function), IsEmpty());
  EXPECT_EQ(code_test::Counter(1).count(), 18);
}

}  // namespace
}  // namespace instar
