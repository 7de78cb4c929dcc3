// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/variable.h"

#include <cstdio>
#include <string>
#include <thread>

#include "code/symbols/variable_test/variables_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

// The pointer, or null and a failed test.
template <typename T>
T* Find(absl::string_view name) {
  const absl::StatusOr<T*> variable = FindVariable<T>(name);
  EXPECT_TRUE(variable.ok()) << variable.status();
  return variable.ok() ? *variable : nullptr;
}

template <typename T>
std::string Error(absl::string_view name, absl::string_view image = {}) {
  return std::string(FindVariable<T>(name, image).status().message());
}

TEST(FindVariable, GlobalByEitherName) {
  EXPECT_EQ(Find<int>("kept::global"), &kept::global);
  EXPECT_EQ(Find<int>("_ZN4kept6globalE"), &kept::global);
  EXPECT_EQ(Find<int>("KeptPlainC"), &kept::KeptPlainC);
  EXPECT_EQ(Find<int>("kept::Holder::member"), &kept::Holder::member);
  EXPECT_EQ(Find<int>("kept::TemplateHolder<int>::member"),
            kept::TemplateMember());
  EXPECT_EQ(Find<int>("kept::TemplateHolder::member"), kept::TemplateMember());
  EXPECT_EQ(Find<int>("kept::inline_variable"), &kept::inline_variable);
  EXPECT_EQ(Find<const int[4]>("kept::table"), &kept::table);
}

TEST(FindVariable, CanBeReadAndWritten) {
  std::string* const text = Find<std::string>("kept::text");
  ASSERT_NE(text, nullptr);
  EXPECT_EQ(*text, "before");
  *text = "after";
  EXPECT_EQ(kept::text, "after");
}

TEST(FindVariable, AnonymousNamespace) {
  EXPECT_EQ(Find<int>("kept::(anonymous namespace)::hidden"),
            kept::Anonymous());
  EXPECT_EQ(Find<int>("kept::hidden"), kept::Anonymous());
}

TEST(FindVariable, StaticVariablesOfFunctions) {
  int* const calls = Find<int>("kept::CountCalls()::calls");
  int* const of_overload = Find<int>("kept::CountCalls(double)::calls");
  int* const in_c = Find<int>("KeptCountCallsInC::c_calls");
  ASSERT_TRUE(calls != nullptr && of_overload != nullptr && in_c != nullptr);
  *calls = 40;
  EXPECT_EQ(kept::CountCalls(), 41);
  *of_overload = 50;
  EXPECT_EQ(kept::CountCalls(1.0), 51);
  *in_c = 60;
  EXPECT_EQ(kept::KeptCountCallsInC(), 61);
  EXPECT_THAT(
      Error<int>("kept::CountCalls::calls"),
      AllOf(HasSubstr("ambiguous"), HasSubstr("kept::CountCalls()::calls"),
            HasSubstr("kept::CountCalls(double)::calls")));
}

TEST(FindVariable, FileLocalOnesOfTwoFilesAreAmbiguous) {
  ASSERT_NE(kept::FileLocal(), kept::OtherFileLocal());
  const absl::StatusOr<int*> variable = FindVariable<int>("kept::file_local");
  EXPECT_EQ(variable.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(variable.status().message()),
              AllOf(HasSubstr("ambiguous"), HasSubstr("variable_test")));
}

TEST(FindVariable, ThreadLocalsAreTheCallingThreads) {
  EXPECT_EQ(Find<int>("kept::per_thread"), &kept::per_thread);
  EXPECT_EQ(Find<int>("kept::local_per_thread"), kept::FileLocalPerThread());
  std::thread([] {
    EXPECT_EQ(Find<int>("kept::per_thread"), &kept::per_thread);
    EXPECT_EQ(Find<int>("kept::local_per_thread"), kept::FileLocalPerThread());
  }).join();
  const absl::StatusOr<Variable> variable = Variable::Named("kept::per_thread");
  ASSERT_TRUE(variable.ok()) << variable.status();
  EXPECT_TRUE(variable->is_thread_local);
}

TEST(FindVariable, SizeIsChecked) {
  const absl::StatusOr<long*> variable = FindVariable<long>("kept::global");
  EXPECT_EQ(variable.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(variable.status().message()),
      AllOf(HasSubstr("kept::global"), HasSubstr("has 4 bytes"),
            HasSubstr("long"), HasSubstr("has 8"), HasSubstr("compiled with")));
}

TEST(FindVariable, NotFoundNamesWhatIsSimilar) {
  const absl::StatusOr<int*> variable = FindVariable<int>("kept::globl");
  EXPECT_EQ(variable.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(variable.status().message()),
              AllOf(HasSubstr("no variable \"kept::globl\""),
                    HasSubstr("kept::global")));
  EXPECT_THAT(Error<int>("kept::global", "libc.so.6"),
              HasSubstr("only exported names are known: libc.so.6"));
}

TEST(FindVariable, SharedLibraries) {
  // The program may hold a copy of it, which is then everybody's.
  EXPECT_EQ(Find<FILE*>("stdout"), &stdout);
  const absl::StatusOr<Variable> variable =
      Variable::Named("__libc_single_threaded");
  ASSERT_TRUE(variable.ok()) << variable.status();
  EXPECT_EQ(variable->size, 1u);
}

TEST(Variable, KnowsItsNameAndImage) {
  const absl::StatusOr<Variable> variable = Variable::Named("kept::global");
  ASSERT_TRUE(variable.ok()) << variable.status();
  EXPECT_EQ(variable->address, &kept::global);
  EXPECT_EQ(variable->size, sizeof(int));
  EXPECT_EQ(variable->name, "kept::global");
  EXPECT_THAT(variable->image, EndsWith("variable_test"));
  EXPECT_FALSE(variable->is_thread_local);
}

}  // namespace
}  // namespace instar
