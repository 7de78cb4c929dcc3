// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/undescribed_code.h"

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "code/function_entry.h"
#include "code/portable/needs_entries_for_test.h"
#include "code/symbols/find_functions.h"
#include "code/symbols/function.h"
#include "code/symbols/inlining/tariff_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(UndescribedCodeTest, AnInlineFunctionThatItCallsIsNotRedirected) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const absl::Status status =
      Redirect(tariff::RateItself(), &tariff::NewRate).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("tariff::Rate(int)"),
                    HasSubstr("tariff::TotalElsewhere(int), which uses it"),
                    HasSubstr("-g")));
  EXPECT_EQ(tariff::TotalElsewhere(1), 7);
}

TEST(UndescribedCodeTest, WhoAcceptsThatRedirects) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const auto rate = Function::Of(tariff::RateItself());
  ASSERT_TRUE(rate.ok()) << rate.status();
  RedirectionOptions options;
  options.ignore_inlined_copies = true;
  EXPECT_TRUE(Redirection::Prepare(
                  {{*rate, reinterpret_cast<std::uintptr_t>(&tariff::NewRate)}},
                  options)
                  .ok());
}

// No copy of it is anywhere.
TEST(UndescribedCodeTest, AFunctionOfExternalLinkageIsRedirected) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  auto redirection = Redirect(&tariff::Total, &tariff::NewTotal);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_TRUE(redirection->Undo().ok());
}

TEST(UndescribedCodeTest, IsListed) {
  EXPECT_THAT(CodeOfUnknownCopies(), HasSubstr("not updatable"));
}

}  // namespace
}  // namespace instar
