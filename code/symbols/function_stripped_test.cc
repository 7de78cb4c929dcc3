// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is known of functions in a program that was stripped of its symbols.

#include <string>

#include "code/symbols/function.h"
#include "code/symbols/function_test_functions.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

[[maybe_unused]] int Local(int x) { return x + 1; }

TEST(StrippedProgram, FunctionsByPointerHaveNoNameButSizeAndEntry) {
  const absl::StatusOr<Function> f = Function::Of(&found::Free);
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_EQ(f->linkage_name(), "");
  EXPECT_TRUE(f->linkage_names().empty());
  EXPECT_THAT(f->name(), StartsWith("function_stripped+0x"));
  EXPECT_GT(f->size(), 0u);
  EXPECT_LT(f->size(), 200u);
  EXPECT_TRUE(f->Contains(f->entry() + f->size() - 1));
  EXPECT_FALSE(f->has_patchable_entry());
  const absl::StatusOr<Function> by_pc = Function::Containing(f->entry() + 1);
  ASSERT_TRUE(by_pc.ok()) << by_pc.status();
  EXPECT_EQ(*by_pc, *f);
  EXPECT_FALSE(Function::AtEntry(f->entry() + 1).ok());
}

#ifndef __clang__  // whose entries are of another kind
TEST(StrippedProgram, PatchableEntriesAreKnown) {
  const absl::StatusOr<Function> f = Function::Of(&Local);
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_TRUE(f->has_patchable_entry());
}
#endif  // __clang__

TEST(StrippedProgram, NamesAreNotFoundAndTheErrorSaysWhy) {
  const absl::StatusOr<Function> f = Function::Named("found::Free");
  EXPECT_EQ(f.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(f.status().message()),
              AllOf(HasSubstr("no function \"found::Free\" was found"),
                    HasSubstr("stripped"), HasSubstr("function_stripped")));
}

TEST(StrippedProgram, VirtualFunctionsNeedAnObject) {
  const absl::StatusOr<Function> f = Function::Of(&found::Derived::Virtual);
  EXPECT_EQ(f.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(f.status().message()),
              AllOf(HasSubstr("virtual table of found::Derived"),
                    HasSubstr("stripped"), HasSubstr("object")));
  const found::Derived object;
  EXPECT_TRUE(Function::Of(&found::Derived::Virtual, object).ok());
}

TEST(StrippedProgram, InlinedCopiesAreNotKnown) {
  const absl::StatusOr<Function> f = Function::Of(&found::Free);
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_EQ(f->InlinedCopies().status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace instar
