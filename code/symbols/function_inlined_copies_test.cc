// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where functions have been inlined.

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "code/inlined_functions_for_test.h"
#include "code/symbols/function.h"
#include "code/symbols/function_test_functions.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The names of the functions that hold a copy.
std::set<std::string> InlinedInto(const absl::StatusOr<Function>& function) {
  if (!function.ok()) return {std::string(function.status().message())};
  const absl::StatusOr<std::vector<InlinedCopy>> copies =
      function->InlinedCopies();
  if (!copies.ok()) return {std::string(copies.status().message())};
  std::set<std::string> names;
  for (const InlinedCopy& copy : *copies) names.insert(copy.into.name());
  return names;
}

TEST(InlinedCopies, InlineFunctionOfSeveralFiles) {
  EXPECT_THAT(InlinedInto(Function::AtEntry(inlined::SharedEntry())),
              ElementsAre("inlined::CallsShared(int)",
                          "inlined::CallsThroughAnother(int)",
                          "inlined::ElsewhereCallsShared(int)"));
}

TEST(InlinedCopies, RangesLieInTheFunctionThatHoldsTheCopy) {
  const absl::StatusOr<Function> f = Function::AtEntry(inlined::SharedEntry());
  ASSERT_TRUE(f.ok()) << f.status();
  const absl::StatusOr<std::vector<InlinedCopy>> copies = f->InlinedCopies();
  ASSERT_TRUE(copies.ok()) << copies.status();
  for (const InlinedCopy& copy : *copies) {
    EXPECT_LT(copy.range.begin, copy.range.end) << copy.into.name();
    EXPECT_TRUE(copy.into.Contains(copy.range.begin)) << copy.into.name();
    EXPECT_TRUE(copy.into.Contains(copy.range.end - 1)) << copy.into.name();
  }
}

TEST(InlinedCopies, FileLocalFunction) {
  const absl::StatusOr<Function> f =
      Function::AtEntry(inlined::FileLocalEntry());
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_EQ(f->binding(), SymbolBinding::kLocal);
  EXPECT_THAT(InlinedInto(f), ElementsAre("inlined::CallsFileLocal(int)"));
  const uintptr_t pc = inlined::InCopyOfFileLocal();
  const absl::StatusOr<std::vector<InlinedCopy>> copies = f->InlinedCopies();
  ASSERT_TRUE(copies.ok()) << copies.status();
  bool contained = false;
  for (const InlinedCopy& copy : *copies) {
    contained |= copy.range.Contains(pc);
  }
  EXPECT_TRUE(contained);
}

TEST(InlinedCopies, Constructor) {
  EXPECT_THAT(InlinedInto(Function::Named("inlined::Built::Built")),
              ElementsAre("inlined::CallsConstructor(int)"));
}

TEST(InlinedCopies, NoneIsAnAnswer) {
  EXPECT_THAT(InlinedInto(Function::Of(&inlined::NeverInlined)), IsEmpty());
}

TEST(InlinedCopies, WithoutDebugInformationNothingIsKnown) {
  const absl::StatusOr<Function> f = Function::Of(&found::Free);
  ASSERT_TRUE(f.ok()) << f.status();
  const auto copies = f->InlinedCopies();
  EXPECT_EQ(copies.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(copies.status().message()),
              AllOf(HasSubstr("found::Free(int)"),
                    HasSubstr("without debug information"),
                    HasSubstr("updatable_cc_library")));
  const absl::StatusOr<Function> library =
      Function::Named("gnu_get_libc_version");
  ASSERT_TRUE(library.ok()) << library.status();
  EXPECT_FALSE(library->InlinedCopies().ok());
}

// Not as one that is not there at all. The second one is file-local: debug
// information has no linkage name of it.
TEST(InlinedCopies, WhatHasNoOtherCodeIsNamedWithItsCallers) {
  for (const auto& [name, caller] :
       {std::pair("inlined::OnlyInlined(int)",
                  "inlined::CallsOnlyInlined(int)"),
        std::pair("inlined::OnlyInlined", "inlined::CallsOnlyInlined(int)"),
        std::pair("inlined::Between", "inlined::CallsThroughAnother(int)")}) {
    const absl::Status status = Function::Named(name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat(name,
                                       " has no code of its own: all calls of "
                                       "it were inlined, into ",
                                       caller, ";")));
  }
  EXPECT_THAT(
      std::string(Function::Named("inlined::OnlyInlinde").status().message()),
      HasSubstr("no function \"inlined::OnlyInlinde\" was found"));
}

TEST(InlinedCopies, CanBePreloaded) {
  PreloadInlinedCopies();
  PreloadNames();
  EXPECT_THAT(InlinedInto(Function::Of(&inlined::CallsShared)), IsEmpty());
}

}  // namespace
}  // namespace instar
