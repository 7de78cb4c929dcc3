// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A function that is a constant leaves nothing where it is inlined, no range in
// debug information either: it is not redirected all the same.

#include "code/function_entry.h"
#include "code/symbols/function.h"
#include "code/symbols/inlining/traceless_test/constants.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::HasSubstr;

void IsRefused(constants::Constant function) {
  const auto redirection = Redirect(function, &constants::New);
  ASSERT_FALSE(redirection.ok());
  EXPECT_THAT(redirection.status().message(),
              HasSubstr("no code of its own is left"));
}

TEST(TracelessCopiesTest, AStaticFunctionIsNotRedirected) {
  IsRefused(constants::Static());
  EXPECT_EQ(constants::Total(2), 200);
}

TEST(TracelessCopiesTest, NorAnInlineFunctionOfWhichAnotherFileHasTheCode) {
  IsRefused(constants::WeakItself());
  EXPECT_EQ(constants::TotalElsewhere(2), 40);
}

TEST(TracelessCopiesTest, WhoAcceptsThemRedirects) {
  const auto rate = Function::Of(constants::Static());
  ASSERT_TRUE(rate.ok()) << rate.status();
  RedirectionOptions options;
  options.ignore_inlined_copies = true;
  EXPECT_TRUE(
      Redirection::Prepare(
          {{*rate, reinterpret_cast<uintptr_t>(&constants::New)}}, options)
          .ok());
}

TEST(TracelessCopiesTest, OneThatIsInlinedNowhereIsRedirected) {
  auto redirection = Redirect(constants::Uninlined(), &constants::New);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_EQ(constants::Uninlined()(), 90);
  EXPECT_TRUE(redirection->Undo().ok());
}

}  // namespace
}  // namespace instar
