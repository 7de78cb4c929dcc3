// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_check/build_check.h"

#include <string>
#include <vector>

#include "code/program_check/build_check_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_internal::CheckBuildOf;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

#ifdef __clang__
#define SKIP_WITH_CLANG() GTEST_SKIP() << "updatable code is built with GCC"
#else
#define SKIP_WITH_CLANG() static_cast<void>(0)
#endif

TEST(BuildCheckTest, NothingIsSaidOfWhatOurFlagsMake) {
  SKIP_WITH_CLANG();
  EXPECT_THAT(CheckBuildOf("code/program_check/build_check_good.so", "good"),
              IsEmpty());
}

// This test is linked with a file that was compiled with one flag less.
TEST(BuildCheckTest, MissingFlagIsNamedWithTheFile) {
  SKIP_WITH_CLANG();
  EXPECT_EQ(code_test::BuildCheckForTest(), 1);
  const std::vector<std::string> remarks = CheckBuild();
  EXPECT_THAT(
      remarks,
      Contains(AllOf(HasSubstr("code/program_check/build_check_for_test.cc"),
                     HasSubstr("without -fno-ipa-icf"),
                     HasSubstr("updatable_cc_library"))));
  EXPECT_THAT(remarks, Each(Not(HasSubstr("-fno-ipa-cp"))));
}

TEST(BuildCheckTest, EveryFlagCounts) {
  SKIP_WITH_CLANG();
  EXPECT_THAT(
      CheckBuildOf("code/program_check/build_check_stack_alignment.so", "x"),
      ElementsAre(HasSubstr("without -fno-ipa-stack-alignment")));
}

TEST(BuildCheckTest, OfCallersThatExpectNoExceptionIsSpoken) {
  SKIP_WITH_CLANG();
  EXPECT_THAT(CheckBuildOf("code/program_check/build_check_inlining.so", "x"),
              ElementsAre(HasSubstr("should its next version throw")));
}

TEST(BuildCheckTest, LinkTimeOptimizationIsNamed) {
  SKIP_WITH_CLANG();
  EXPECT_THAT(CheckBuildOf("code/program_check/build_check_lto.so", "x"),
              Contains(HasSubstr("link-time optimization")));
}

TEST(BuildCheckTest, ShadowStacksAreNamed) {
  EXPECT_THAT(
      CheckBuildOf("code/program_check/build_check_shstk.so", "the module"),
      Contains(AllOf(HasSubstr("the module"), HasSubstr("-z shstk"))));
}

TEST(BuildCheckTest, WhatCannotBeReadIsSaid) {
  EXPECT_THAT(CheckBuildOf("/nonexistent", "x"),
              ElementsAre(AllOf(HasSubstr("what x was built with"),
                                HasSubstr("cannot be opened"))));
  EXPECT_THAT(CheckBuildOf("/proc/self/status", "x"),
              ElementsAre(HasSubstr("what x was built with")));
}

}  // namespace
}  // namespace instar
