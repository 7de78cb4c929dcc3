// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions by name.

#include <gnu/libc-version.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "code/symbols/function.h"
#include "code/symbols/function_test_functions.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string LinkageName(const absl::StatusOr<Function>& function) {
  if (!function.ok()) return std::string(function.status().message());
  return std::string(function->linkage_name());
}

std::string Named(absl::string_view name, absl::string_view image = {}) {
  return LinkageName(Function::Named(name, image));
}

TEST(FunctionNamed, LinkageQualifiedAndFullNames) {
  const std::string expected = "_ZN5found4FreeEi";
  EXPECT_EQ(Named("_ZN5found4FreeEi"), expected);
  EXPECT_EQ(Named("found::Free"), expected);
  EXPECT_EQ(Named("found::Free(int)"), expected);
  EXPECT_EQ(Named("found::Free( int )"), expected);
  EXPECT_EQ(Function::Named("found::Free")->entry(),
            reinterpret_cast<uintptr_t>(&found::Free));
}

TEST(FunctionNamed, OverloadsNeedParameters) {
  EXPECT_EQ(Named("found::Overloaded(int)"), "_ZN5found10OverloadedEi");
  EXPECT_EQ(Named("found::Overloaded(double)"), "_ZN5found10OverloadedEd");
  const absl::StatusOr<Function> f = Function::Named("found::Overloaded");
  EXPECT_EQ(f.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(LinkageName(f), AllOf(HasSubstr("ambiguous"),
                                    HasSubstr("found::Overloaded(int) "
                                              "[_ZN5found10OverloadedEi]"),
                                    HasSubstr("_ZN5found10OverloadedEd")));
}

TEST(FunctionNamed, StandardStrings) {
  const std::string expected = LinkageName(Function::Of(&found::TakesString));
  EXPECT_EQ(Named("found::TakesString(std::string const&)"), expected);
  EXPECT_EQ(Named("found::TakesString(const std::string &)"), expected);
}

TEST(FunctionNamed, Templates) {
  EXPECT_EQ(Named("found::Twice<int>"), "_ZN5found5TwiceIiEET_S1_");
  EXPECT_EQ(Named("found::Twice<long>(long)"), "_ZN5found5TwiceIlEET_S1_");
  EXPECT_THAT(Named("found::Twice"), HasSubstr("ambiguous"));
  EXPECT_EQ(Named("found::Times"), "_ZN5found5TimesIiLi3EEET_S1_");
}

TEST(FunctionNamed, Members) {
  EXPECT_EQ(Named("found::Base::Plain"), "_ZN5found4Base5PlainEi");
  EXPECT_EQ(Named("found::Base::Constant(int) const"),
            "_ZNK5found4Base8ConstantEi");
  EXPECT_EQ(Named("found::Base::Constant(int)"), "_ZNK5found4Base8ConstantEi");
  EXPECT_EQ(Named("found::Base::operator()"), "_ZNK5found4BaseclEi");
  EXPECT_EQ(Named("found::Base::operator<"), "_ZNK5found4BaseltERKS0_");
  EXPECT_EQ(Named("found::Base::operator int"), "_ZNK5found4BasecviEv");
  EXPECT_EQ(Named("found::Derived::Virtual"), "_ZNK5found7Derived7VirtualEv");
}

TEST(FunctionNamed, AnonymousNamespaceMayBeLeftOut) {
  const std::string expected = "_ZN5found12_GLOBAL__N_19AnonymousEi";
  EXPECT_EQ(Named("found::(anonymous namespace)::Anonymous"), expected);
  EXPECT_EQ(Named("found::Anonymous"), expected);
  EXPECT_EQ(Named("found::Anonymous(int)"), expected);
  EXPECT_EQ(Function::Named("found::Anonymous")->entry(),
            found::AnonymousEntry());
}

TEST(FunctionNamed, FileLocalFunctionsOfTwoFilesAreAmbiguous) {
  const absl::StatusOr<Function> f = Function::Named("found::FileLocal");
  EXPECT_EQ(f.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      LinkageName(f),
      AllOf(HasSubstr("ambiguous"),
            HasSubstr(absl::StrCat(absl::Hex(found::FileLocalEntry()))),
            HasSubstr(absl::StrCat(absl::Hex(found::OtherFileLocalEntry())))));
}

#ifndef __clang__  // which names lambdas in another way
TEST(FunctionNamed, Lambdas) {
  const absl::StatusOr<Function> f =
      Function::Named("found::LambdaEntry()::{lambda(int)#1}::operator()");
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_EQ(f->entry(), found::LambdaEntry());
}
#endif  // __clang__

TEST(FunctionNamed, PlainCAliasAndIndirectFunctions) {
  const auto entry = reinterpret_cast<uintptr_t>(&found::FoundPlainC);
  for (const char* name : {"FoundPlainC", "FoundAlias", "FoundIndirect"}) {
    const absl::StatusOr<Function> f = Function::Named(name);
    ASSERT_TRUE(f.ok()) << f.status();
    EXPECT_EQ(f->entry(), entry) << name;
  }
}

TEST(FunctionNamed, SharedLibraries) {
  const absl::StatusOr<Function> f =
      Function::Named("gnu_get_libc_version", "libc.so.6");
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_EQ(*f, *Function::Of(&gnu_get_libc_version));
  // An indirect function of the C library.
  const absl::StatusOr<Function> copy = Function::Named("strchr", "libc.so.6");
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_THAT(std::string(copy->image()), HasSubstr("libc.so.6"));
}

TEST(FunctionNamed, NotFoundNamesWhatIsSimilarAndWhatWasStripped) {
  const absl::StatusOr<Function> slip = Function::Named("found::Fre");
  EXPECT_EQ(slip.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(LinkageName(slip),
              AllOf(HasSubstr("\"found::Fre\""), HasSubstr("found::Free(int)"),
                    HasSubstr("stripped")));
  EXPECT_THAT(Named("std::abort", "libc.so.6"),
              AllOf(HasSubstr("similar names are: abort"),
                    HasSubstr("only exported names are known: libc.so.6")));
  EXPECT_THAT(Named("found::Free(long)"), HasSubstr("found::Free(int)"));
  EXPECT_THAT(Named("lost::Free"), HasSubstr("found::Free(int)"));
  EXPECT_THAT(Named("found::Free", "no_such_object.so"),
              HasSubstr("no object whose path ends in \"no_such_object.so\""));
  EXPECT_THAT(Named("xyzzy_plugh_quux_grault", "function_by_name_test"),
              AllOf(Not(HasSubstr("similar")), Not(HasSubstr("stripped"))));
  EXPECT_FALSE(Function::Named("").ok());
}

TEST(FunctionNamed, ConstructorsAndDestructors) {
  // The complete and the deleting destructor are two functions.
  EXPECT_THAT(Named("found::Derived::~Derived"),
              AllOf(HasSubstr("_ZN5found7DerivedD0Ev"),
                    HasSubstr("_ZN5found7DerivedD")));
  EXPECT_EQ(Named("_ZN5found7DerivedD0Ev"), "_ZN5found7DerivedD0Ev");
}

}  // namespace
}  // namespace instar
