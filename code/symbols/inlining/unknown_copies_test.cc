// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Copies of inline functions in a source file that was compiled to be
// updatable, but with debug information that is not there or cannot be read. It
// is linked several times (BUILD): EXPECTED_REASON is what is said, or empty if
// the copies are known.

#include <string>

#include "absl/strings/match.h"
#include "code/function_entry.h"
#include "code/symbols/find_functions.h"
#include "code/symbols/function.h"
#include "code/symbols/inlining/tariff_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const bool kIsKnown = std::string(EXPECTED_REASON).empty();

TEST(UnknownCopiesTest, AnInlineFunctionIsNotRedirected) {
  const auto redirection = Redirect(tariff::RateItself(), &tariff::NewRate);
  ASSERT_FALSE(redirection.ok());
  const std::string message(redirection.status().message());
  if (kIsKnown) {
    EXPECT_THAT(message, AllOf(HasSubstr("was inlined into"),
                               HasSubstr("tariff::TotalElsewhere(int)")));
  } else {
    EXPECT_THAT(message, AllOf(HasSubstr("tariff::Rate(int)"),
                               HasSubstr("tariff::TotalElsewhere(int)"),
                               HasSubstr(EXPECTED_REASON), HasSubstr("-g")));
  }
  EXPECT_EQ(tariff::TotalElsewhere(1), 7);
}

TEST(UnknownCopiesTest, WhoAcceptsThemRedirects) {
  const auto rate = Function::Of(tariff::RateItself());
  ASSERT_TRUE(rate.ok()) << rate.status();
  RedirectionOptions options;
  options.ignore_inlined_copies = true;
  EXPECT_TRUE(
      Redirection::Prepare(
          {{*rate, reinterpret_cast<uintptr_t>(&tariff::NewRate)}}, options)
          .ok());
}

// It is inlined nowhere, whatever is known.
TEST(UnknownCopiesTest, AFunctionOfExternalLinkageIsRedirected) {
  auto redirection = Redirect(&tariff::Total, &tariff::NewTotal);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_EQ(tariff::Total(4), -4);
  EXPECT_TRUE(redirection->Undo().ok());
  EXPECT_EQ(tariff::Total(4), 18);
  auto elsewhere = Redirect(&tariff::TotalElsewhere, &tariff::NewTotal);
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.status();
  EXPECT_TRUE(elsewhere->Undo().ok());
}

TEST(UnknownCopiesTest, SearchesSayIt) {
  const FoundFunctions found = FindFunctions([](absl::string_view name) {
    return absl::StrContains(name, "6Tariff");
  });
  if (kIsKnown) {
    EXPECT_THAT(found.undescribed, IsEmpty());
    bool is_elsewhere = false;
    for (const InlinedFunction& copy : found.inlined) {
      is_elsewhere |= copy.copy.into.name() == "tariff::TotalElsewhere(int)";
    }
    EXPECT_TRUE(is_elsewhere);
    return;
  }
  ASSERT_EQ(found.undescribed.size(), 1u);
  EXPECT_THAT(found.undescribed[0], AllOf(HasSubstr("tariff::TotalElsewhere"),
                                          HasSubstr(EXPECTED_REASON)));
}

}  // namespace
}  // namespace instar
