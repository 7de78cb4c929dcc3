// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions by pointer and by program counter.

#include "code/symbols/function.h"

#include <gnu/libc-version.h>

#include <memory>
#include <string>

#include "code/symbols/function_test_functions.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string LinkageName(const absl::StatusOr<Function>& function) {
  if (!function.ok()) return std::string(function.status().message());
  return std::string(function->linkage_name());
}

template <typename F>
uintptr_t Address(F* function) {
  return reinterpret_cast<uintptr_t>(function);
}

TEST(FunctionOf, FreeFunction) {
  const absl::StatusOr<Function> f = Function::Of(&found::Free);
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_EQ(f->entry(), Address(&found::Free));
  EXPECT_EQ(f->linkage_name(), "_ZN5found4FreeEi");
  EXPECT_EQ(f->name(), "found::Free(int)");
  EXPECT_EQ(f->binding(), SymbolBinding::kGlobal);
  EXPECT_GE(f->size(), 4u);
  EXPECT_LT(f->size(), 200u);
  EXPECT_THAT(std::string(f->image()), EndsWith("function_test"));
  EXPECT_TRUE(f->Contains(f->entry()));
  EXPECT_TRUE(f->Contains(f->entry() + f->size() - 1));
  EXPECT_FALSE(f->Contains(f->entry() + f->size()));
}

TEST(FunctionOf, Overloads) {
  EXPECT_EQ(LinkageName(Function::Of<int(int)>(&found::Overloaded)),
            "_ZN5found10OverloadedEi");
  EXPECT_EQ(LinkageName(Function::Of<double(double)>(&found::Overloaded)),
            "_ZN5found10OverloadedEd");
}

TEST(FunctionOf, NoexceptAndVariadicFunctions) {
  EXPECT_EQ(LinkageName(Function::Of(&found::NoThrow)), "_ZN5found7NoThrowEi");
  EXPECT_EQ(LinkageName(Function::Of(&found::Variadic)),
            "_ZN5found8VariadicEiz");
}

TEST(FunctionOf, TemplatesAreWeak) {
  const absl::StatusOr<Function> f = Function::Of(&found::Twice<int>);
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_EQ(f->name(), "int found::Twice<int>(int)");
  EXPECT_EQ(f->binding(), SymbolBinding::kWeak);
}

TEST(FunctionOf, MemberFunctions) {
  EXPECT_EQ(LinkageName(Function::Of(&found::Base::Plain)),
            "_ZN5found4Base5PlainEi");
  EXPECT_EQ(LinkageName(Function::Of(&found::Base::Constant)),
            "_ZNK5found4Base8ConstantEi");
  EXPECT_EQ(LinkageName(Function::Of(&found::Base::Static)),
            "_ZN5found4Base6StaticEi");
  EXPECT_EQ(LinkageName(Function::Of(&found::Base::operator())),
            "_ZNK5found4BaseclEi");
  const found::Derived object;
  EXPECT_EQ(LinkageName(Function::Of(&found::Base::Constant, object)),
            "_ZNK5found4Base8ConstantEi");
}

TEST(FunctionOf, VirtualFunctionThroughItsClass) {
  EXPECT_EQ(LinkageName(Function::Of(&found::Base::Virtual)),
            "_ZNK5found4Base7VirtualEv");
  EXPECT_EQ(LinkageName(Function::Of(&found::Derived::Virtual)),
            "_ZNK5found7Derived7VirtualEv");
  EXPECT_EQ(LinkageName(Function::Of(&found::Derived::Pure)),
            "_ZN5found7Derived4PureEv");
  // Declared in the second base: its table is not the first.
  EXPECT_EQ(LinkageName(Function::Of(&found::Derived::Second)),
            "_ZNK5found7Derived6SecondEv");
  // Inherited and not overridden: the pointer is one to a member of Base.
  EXPECT_EQ(
      LinkageName(Function::Of<found::Derived>(
          static_cast<int (found::Derived::*)() const>(&found::Other::Second))),
      "_ZNK5found7Derived6SecondEv");
}

TEST(FunctionOf, VirtualFunctionOfAClassWithAVirtualBase) {
  EXPECT_EQ(LinkageName(Function::Of(&found::VirtualBase::First)),
            "_ZNK5found11VirtualBase5FirstEv");
  EXPECT_EQ(LinkageName(Function::Of(&found::VirtualBase::Second)),
            "_ZNK5found11VirtualBase6SecondEv");
  const found::VirtualBase object;
  const found::Other& base = object;
  EXPECT_EQ(LinkageName(Function::Of(&found::Other::Second, base)),
            "_ZNK5found11VirtualBase6SecondEv");
}

TEST(FunctionOf, PureVirtualFunctionIsRefused) {
  const absl::StatusOr<Function> f = Function::Of(&found::Base::Pure);
  EXPECT_EQ(f.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(LinkageName(f), HasSubstr("pure virtual"));
}

TEST(FunctionOf, VirtualFunctionThroughAnObject) {
  const found::Derived derived;
  const found::Base& base = derived;
  EXPECT_EQ(LinkageName(Function::Of(&found::Base::Virtual, base)),
            "_ZNK5found7Derived7VirtualEv");
  // Through the second base the table leads to a thunk, which is looked behind.
  const found::Other& other = derived;
  EXPECT_EQ(LinkageName(Function::Of(&found::Other::Second, other)),
            "_ZNK5found7Derived6SecondEv");
  const std::unique_ptr<const found::Base> anonymous(
      found::MakeAnonymousDerived());
  EXPECT_EQ(LinkageName(Function::Of(&found::Base::Virtual, *anonymous)),
            "_ZNK5found12_GLOBAL__N_116AnonymousDerived7VirtualEv");
}

TEST(FunctionOf, FunctionOfASharedLibrary) {
  const absl::StatusOr<Function> f = Function::Of(&gnu_get_libc_version);
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_THAT(std::string(f->image()), HasSubstr("libc.so"));
  EXPECT_NE(f->load_base(), 0u);
  EXPECT_FALSE(f->has_patchable_entry());
}

TEST(FunctionAtEntry, RefusesWhatIsNoEntry) {
  const absl::StatusOr<Function> inside =
      Function::AtEntry(Address(&found::Free) + 1);
  EXPECT_EQ(inside.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(LinkageName(inside), HasSubstr("1 bytes into found::Free(int)"));
  static int variable = 0;
  const absl::StatusOr<Function> data =
      Function::AtEntry(reinterpret_cast<uintptr_t>(&variable));
  EXPECT_EQ(data.status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(Function::AtEntry(0).ok());
}

TEST(FunctionContaining, FileLocalAndAnonymous) {
  EXPECT_EQ(LinkageName(Function::Containing(found::FileLocalEntry() + 2)),
            "_ZN5foundL9FileLocalEi");
  const absl::StatusOr<Function> anonymous =
      Function::Containing(found::AnonymousEntry());
  ASSERT_TRUE(anonymous.ok()) << anonymous.status();
  EXPECT_EQ(anonymous->name(), "found::(anonymous namespace)::Anonymous(int)");
  EXPECT_EQ(anonymous->binding(), SymbolBinding::kLocal);
}

// clang names lambdas in another way, and splits no functions.
#ifndef __clang__
TEST(FunctionContaining, Lambda) {
  const absl::StatusOr<Function> lambda =
      Function::Containing(found::LambdaEntry());
  ASSERT_TRUE(lambda.ok()) << lambda.status();
  EXPECT_THAT(lambda->name(),
              HasSubstr("found::LambdaEntry()::{lambda(int)#1}::operator()"));
}

TEST(FunctionContaining, ColdPartBelongsToItsFunction) {
  EXPECT_THROW(found::HasColdPart(-1), int);
  const absl::StatusOr<Function> f = Function::Of(&found::HasColdPart);
  ASSERT_TRUE(f.ok()) << f.status();
  // That file is compiled with optimization so that there is such a part.
  ASSERT_EQ(f->ranges().size(), 2u);
  EXPECT_TRUE(f->Contains(found::ColdPathAddress()));
  EXPECT_LT(f->size(), f->ranges()[1].end - f->entry());
  const absl::StatusOr<Function> by_pc =
      Function::Containing(found::ColdPathAddress());
  ASSERT_TRUE(by_pc.ok()) << by_pc.status();
  EXPECT_EQ(*by_pc, *f);
  EXPECT_TRUE(f->clones().empty());
}

#endif  // __clang__

TEST(FunctionContaining, AliasesAreOneFunction) {
  const absl::StatusOr<Function> f = Function::Of(&found::FoundPlainC);
  const absl::StatusOr<Function> alias = Function::Of(&found::FoundAlias);
  const absl::StatusOr<Function> indirect = Function::Of(&found::FoundIndirect);
  ASSERT_TRUE(f.ok() && alias.ok() && indirect.ok());
  EXPECT_EQ(*f, *alias);
  EXPECT_EQ(*f, *indirect);
  EXPECT_THAT(f->linkage_names(),
              testing::UnorderedElementsAre(testing::StrEq("FoundPlainC"),
                                            testing::StrEq("FoundAlias")));
}

TEST(FunctionMap, FindsFunctionsAndIsNotCurrentAfterLoading) {
  const FunctionMap map = FunctionMap::Preload();
  const std::optional<Function> f = map.Containing(Address(&found::Free) + 1);
  ASSERT_TRUE(f.has_value());
  EXPECT_EQ(f->entry(), Address(&found::Free));
  int local = 0;
  EXPECT_EQ(map.Containing(reinterpret_cast<uintptr_t>(&local)), std::nullopt);
  EXPECT_EQ(map.Containing(0), std::nullopt);
  EXPECT_EQ(map.Containing(~uintptr_t{0}), std::nullopt);
  EXPECT_TRUE(map.IsCurrent());
}

TEST(Function, IsASmallValue) {
  static_assert(sizeof(Function) <= 3 * sizeof(void*));
  static_assert(std::is_trivially_copyable_v<Function>);
}

}  // namespace
}  // namespace instar
