// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/return_type.h"

#include "absl/status/status.h"
#include "code/symbols/function.h"
#include "code/symbols/return_type_test/return_type_functions_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <typename A, typename B>
absl::Status Compare(A a, B b) {
  const auto first = Function::Of(a);
  if (!first.ok()) return first.status();
  const auto second = Function::Of(b);
  if (!second.ok()) return second.status();
  return CompareReturnTypes(*first, *second);
}

template <typename A, typename B>
void ExpectDiffer(A a, B b, const char* first, const char* second) {
  const absl::Status status = Compare(a, b);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(first), HasSubstr(second)));
}

TEST(ReturnTypeTest, SameTypes) {
  EXPECT_TRUE(Compare(&returns::Nothing, &returns::NothingEither).ok());
  EXPECT_TRUE(Compare(&returns::Int, &returns::AnotherInt).ok());
  EXPECT_TRUE(Compare(&returns::String, &returns::AnotherString).ok());
  EXPECT_TRUE(Compare(&returns::MakePoint, &returns::Shop::Where).ok());
  EXPECT_TRUE(Compare(&returns::Callback, &returns::Callback).ok());
}

TEST(ReturnTypeTest, OtherTypes) {
  ExpectDiffer(&returns::Nothing, &returns::Int, "returns void", "returns int");
  ExpectDiffer(&returns::Int, &returns::Unsigned, "int", "unsigned int");
  ExpectDiffer(&returns::Int, &returns::Long, "int", "long");
  ExpectDiffer(&returns::String, &returns::Owner, "basic_string", "unique_ptr");
  ExpectDiffer(&returns::Int, &returns::String, "int", "basic_string");
  ExpectDiffer(&returns::Text, &returns::MutableText, "char const*", "char*");
  ExpectDiffer(&returns::MakePoint, &returns::FindPoint, "returns::Point",
               "returns::Point*");
  ExpectDiffer(&returns::Callback, &returns::FindPoint,
               "int (returns::Point const&, )*", "returns::Point*");
}

TEST(ReturnTypeTest, NamesOfATypedef) {
  EXPECT_EQ(Compare(&returns::Divide, &returns::DivideAgain), absl::OkStatus());
  EXPECT_EQ(Compare(&returns::DivideInC, &returns::DivideInCAgain),
            absl::OkStatus());
  ExpectDiffer(&returns::Divide, &returns::DivideOtherwise, "returns::Parts",
               "returns::OtherParts");
  ExpectDiffer(&returns::DivideInC, &returns::Divide, "div_t",
               "returns::Parts");
  ExpectDiffer(&returns::Divide, &returns::FindParts, "returns::Parts",
               "returns::Parts*");
}

// A caller cannot tell them apart; what a pointer leads to it can.
TEST(ReturnTypeTest, ConstObjects) {
  EXPECT_EQ(Compare(&returns::Int, &returns::ConstInt), absl::OkStatus());
  EXPECT_EQ(Compare(&returns::ConstPoints, &returns::MakePoint),
            absl::OkStatus());
  EXPECT_EQ(Compare(&returns::MakePoint, &returns::NamedConstPoints),
            absl::OkStatus());
  ExpectDiffer(&returns::ConstInt, &returns::Long, "int", "long");
  ExpectDiffer(&returns::MutableText, &returns::Text, "char*", "char const*");
}

TEST(ReturnTypeTest, AFunctionThatWasSplit) {
  EXPECT_EQ(Compare(&returns::Split, &returns::String), absl::OkStatus());
  ExpectDiffer(&returns::Split, &returns::Owner, "basic_string", "unique_ptr");
}

int WithoutDebugInformation(int i) { return i; }

TEST(ReturnTypeTest, WithoutDebugInformationNothingIsKnown) {
  const absl::Status status = Compare(&returns::Int, &WithoutDebugInformation);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("WithoutDebugInformation"), HasSubstr("-g")));
}

// As the compiler of this file knows it, which has no debug information.
template <typename R, typename... A>
absl::Status CompareWithStatic(const Function& a, R (*b)(A...)) {
  return CompareReturnTypes(a, *Function::Of(b), StaticTypeOf<R>());
}

std::string NewString(int) { return ""; }
const char* NewText(int) { return ""; }
returns::Point NewPoint(int) { return {}; }
returns::Point* FindNewPoint(int) { return nullptr; }
std::div_t NewDivision(int) { return {}; }
void NewNothing(int) {}
unsigned NewUnsigned(int) { return 0; }

TEST(ReturnTypeTest, TheCompilerKnowsItToo) {
  const auto of = [](auto f) { return *Function::Of(f); };
  const auto differs = [](const absl::Status& status) {
    return absl::IsInvalidArgument(status);
  };
  EXPECT_EQ(CompareWithStatic(of(&returns::Int), &WithoutDebugInformation),
            absl::OkStatus());
  EXPECT_EQ(CompareWithStatic(of(&returns::ConstInt), &WithoutDebugInformation),
            absl::OkStatus());
  EXPECT_EQ(CompareWithStatic(of(&returns::Unsigned), &NewUnsigned),
            absl::OkStatus());
  EXPECT_EQ(CompareWithStatic(of(&returns::Nothing), &NewNothing),
            absl::OkStatus());
  EXPECT_EQ(CompareWithStatic(of(&returns::MakePoint), &NewPoint),
            absl::OkStatus());
  EXPECT_EQ(CompareWithStatic(of(&returns::FindPoint), &FindNewPoint),
            absl::OkStatus());
  EXPECT_EQ(CompareWithStatic(of(&returns::Text), &NewText), absl::OkStatus());
  EXPECT_EQ(CompareWithStatic(of(&returns::DivideInC), &NewDivision),
            absl::OkStatus());
  EXPECT_TRUE(differs(CompareWithStatic(of(&returns::Int), &NewUnsigned)));
  EXPECT_TRUE(
      differs(CompareWithStatic(of(&returns::Long), &WithoutDebugInformation)));
  EXPECT_TRUE(differs(CompareWithStatic(of(&returns::MutableText), &NewText)));
  EXPECT_TRUE(
      differs(CompareWithStatic(of(&returns::MakePoint), &FindNewPoint)));
  EXPECT_TRUE(differs(CompareWithStatic(of(&returns::Divide), &NewDivision)));
  EXPECT_TRUE(differs(CompareWithStatic(of(&returns::Nothing), &NewUnsigned)));
  // Never refused for a spelling: it is the same or not known.
  EXPECT_FALSE(differs(CompareWithStatic(of(&returns::String), &NewString)));
}

}  // namespace
}  // namespace instar
