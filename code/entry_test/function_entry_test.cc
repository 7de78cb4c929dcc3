// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/function_entry.h"

#include <dlfcn.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "code/symbols/function.h"
#include "code/updatable_functions_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::instar::code_test::Answer;
using ::instar::code_test::Answer2;
using ::instar::code_test::Answer3;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename F>
uintptr_t Address(F* function) {
  return reinterpret_cast<uintptr_t>(function);
}

template <typename F>
EntryRedirection FromTo(F* from, F* to) {
  return {*Function::Of(from), Address(to)};
}

Redirection Must(absl::StatusOr<Redirection> redirection) {
  EXPECT_TRUE(redirection.ok()) << redirection.status();
  return *std::move(redirection);
}

// Whatever a test does, the functions lead to themselves afterwards.
class FunctionEntryTest : public testing::Test {
 protected:
  ~FunctionEntryTest() override {
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(Answer2(1), 201);
    EXPECT_EQ(Answer3(1), 301);
    EXPECT_EQ(RedirectedTo(*Function::Of(&Answer)), 0u);
  }
};

TEST_F(FunctionEntryTest, RedirectReadBackUndo) {
  Redirection redirection = Must(Redirect(&Answer, &Answer2));
  EXPECT_EQ(Answer(1), 201);
  EXPECT_EQ(RedirectedTo(*Function::Of(&Answer)), Address(&Answer2));
  EXPECT_EQ(Original(&Answer)(1), 101);
  EXPECT_TRUE(redirection.Undo().ok());
  EXPECT_EQ(Answer(1), 101);
  EXPECT_FALSE(redirection.is_applied());
  EXPECT_TRUE(redirection.Apply().ok());
  EXPECT_EQ(Answer(1), 201);
  EXPECT_TRUE(redirection.Undo().ok());
}

TEST_F(FunctionEntryTest, PreparedChangesNothing) {
  const auto prepared = Redirection::Prepare({FromTo(&Answer, &Answer2)});
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(Answer(1), 101);
}

TEST_F(FunctionEntryTest, HeldThreadsNeedNoTraps) {
  Redirection redirection = *Redirection::Prepare({FromTo(&Answer, &Answer2)});
  ASSERT_TRUE(redirection.Apply(OtherThreads::kHeld).ok());
  EXPECT_EQ(Answer(1), 201);
  ASSERT_TRUE(redirection.Undo(OtherThreads::kHeld).ok());
}

TEST_F(FunctionEntryTest, SecondReplacesTheFirstAndItsUndoRestoresIt) {
  Redirection first = Must(Redirect(&Answer, &Answer2));
  Redirection second = Must(Redirect(&Answer, &Answer3));
  EXPECT_EQ(Answer(1), 301);
  EXPECT_TRUE(second.Undo().ok());
  EXPECT_EQ(Answer(1), 201);
  EXPECT_TRUE(first.Undo().ok());
}

TEST_F(FunctionEntryTest, UndoOfOneThatWasReplacedKeepsTheLatest) {
  Redirection first = Must(Redirect(&Answer, &Answer2));
  Redirection second = Must(Redirect(&Answer, &Answer3));
  EXPECT_TRUE(first.Undo().ok());
  EXPECT_EQ(Answer(1), 301);
  EXPECT_TRUE(second.Undo().ok());
}

TEST_F(FunctionEntryTest, ATargetThatIsRedirectedLeadsOn) {
  Redirection first = Must(Redirect(&Answer, &Answer2));
  Redirection second = Must(Redirect(&Answer2, &Answer3));
  EXPECT_EQ(Answer(1), 301);
  EXPECT_TRUE(first.Undo().ok());
  EXPECT_TRUE(second.Undo().ok());
}

int WrapAnswer(int a) { return -Original(&Answer)(a); }

TEST_F(FunctionEntryTest, NewVersionWrapsTheOriginal) {
  Redirection redirection = Must(Redirect(&Answer, &WrapAnswer));
  EXPECT_EQ(Answer(1), -101);
  EXPECT_TRUE(redirection.Undo().ok());
}

TEST_F(FunctionEntryTest, LambdaAsTarget) {
  Redirection redirection = Must(Redirect(&Answer, [](int a) { return -a; }));
  EXPECT_EQ(Answer(5), -5);
  EXPECT_TRUE(redirection.Undo().ok());
}

TEST_F(FunctionEntryTest, MemberFunctions) {
  code_test::Shape shape;
  code_test::Shape* volatile through_vtable = &shape;
  Redirection area =
      Must(Redirect(&code_test::Shape::Area, &code_test::NewArea));
  Redirection perimeter =
      Must(Redirect(&code_test::Shape::Perimeter, &code_test::NewPerimeter));
  EXPECT_EQ(through_vtable->Area(2), -6);
  EXPECT_EQ(shape.Perimeter(2), -24);
  EXPECT_EQ(Original(&code_test::Shape::Perimeter)(&shape, 2), 24);
  EXPECT_EQ(Original(&code_test::Shape::Area)(&shape, 2), 18);
  EXPECT_TRUE(area.Undo().ok());
  EXPECT_TRUE(perimeter.Undo().ok());
  EXPECT_EQ(through_vtable->Area(2), 18);
}

TEST_F(FunctionEntryTest, FarTargetIsReachedThroughAnIsland) {
  void* const handle =
      dlopen("code/libpatchable_entries_test_object.so", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(handle, nullptr) << dlerror();
  auto* const far = reinterpret_cast<int (*)(int)>(
      dlsym(handle, "instar_test_loaded_function"));
  // The other way round, a library's function leads to the program's.
  Redirection there = Must(Redirect(&Answer, far));
  EXPECT_EQ(Answer(1), 4);
  EXPECT_TRUE(there.Undo().ok());
  Redirection back = Must(Redirect(far, &Answer));
  EXPECT_EQ(far(1), 101);
  EXPECT_TRUE(back.Undo().ok());
  EXPECT_EQ(far(1), 4);
  // A redirection keeps the objects loaded.
  EXPECT_EQ(dlclose(handle), 0);
  EXPECT_EQ(far(1), 4);
}

TEST_F(FunctionEntryTest, BatchIsAllOrNothing) {
  Redirection batch = *Redirection::Prepare(
      {FromTo(&Answer, &Answer3), FromTo(&Answer2, &Answer3)});
  ASSERT_TRUE(batch.Apply().ok());
  EXPECT_EQ(Answer(1), 301);
  EXPECT_EQ(Answer2(1), 301);
  ASSERT_TRUE(batch.Undo().ok());

  const auto refused = Redirection::Prepare(
      {FromTo(&Answer, &Answer3), FromTo(&code_test::NotUpdatable, &Answer3)});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Answer(1), 101);
}

TEST_F(FunctionEntryTest, NoPatchableEntryNamesTheRemedy) {
  const absl::Status status =
      Redirect(&code_test::NotUpdatable, &Answer2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("NotUpdatable(int)"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("updatable_cc_library"));
}

TEST_F(FunctionEntryTest, InlinedCopiesAreRefusedUnlessTheirHolderGoesToo) {
  const Function inlined = *Function::AtEntry(code_test::InlinedEntry());
  const EntryRedirection redirection = {inlined, Address(&Answer)};
  const auto refused = Redirection::Prepare({redirection});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("Inlined(int) cannot be redirected"),
                    HasSubstr("inlined into instar::code_test::UseInlined("),
                    HasSubstr("redirect those with it")));
  const auto with_holder = Redirection::Prepare(
      {redirection, FromTo(&code_test::UseInlined, &Answer2)});
  EXPECT_TRUE(with_holder.ok()) << with_holder.status();

  Redirection ignoring = Must(Redirection::Prepare({redirection}, {true}));
  ASSERT_TRUE(ignoring.Apply().ok());
  EXPECT_EQ(reinterpret_cast<int (*)(int)>(code_test::InlinedEntry())(1), 101);
  EXPECT_EQ(code_test::UseInlined(1), 8);
  ASSERT_TRUE(ignoring.Undo().ok());
}

TEST_F(FunctionEntryTest, AllTargetsAreRemembered) {
  const Function function = *Function::Of(&code_test::RedZone);
  const uintptr_t target = Address(&code_test::RedZone2);
  EXPECT_TRUE(AllRedirectionTargets(function).empty());
  for (int i = 0; i < 2; ++i) {
    Redirection redirection =
        Must(Redirect(&code_test::RedZone, &code_test::RedZone2));
    EXPECT_TRUE(redirection.Undo().ok());
    EXPECT_THAT(AllRedirectionTargets(function), ElementsAre(target));
  }
}

TEST_F(FunctionEntryTest, TwiceInOneBatchIsRefused) {
  EXPECT_EQ(Redirection::Prepare(
                {FromTo(&Answer, &Answer2), FromTo(&Answer, &Answer3)})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(FunctionEntryTest, TargetOutsideOfCodeIsRefused) {
  EXPECT_EQ(
      Redirection::Prepare({{*Function::Of(&Answer), 16}}).status().code(),
      absl::StatusCode::kInvalidArgument);
}

TEST_F(FunctionEntryTest, CirclesAreRefused) {
  EXPECT_EQ(Redirect(&Answer, &Answer).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Redirection::Prepare(
                {FromTo(&Answer, &Answer2), FromTo(&Answer2, &Answer)})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);

  Redirection first = Must(Redirect(&Answer, &Answer2));
  EXPECT_EQ(Redirect(&Answer2, &Answer).status().code(),
            absl::StatusCode::kInvalidArgument);
  Redirection over = Must(Redirect(&Answer, &Answer3));
  Redirection reverse = Must(Redirect(&Answer2, &Answer));
  EXPECT_EQ(over.Undo().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Answer2(1), 301);
  EXPECT_TRUE(reverse.Undo().ok());
  EXPECT_TRUE(over.Undo().ok());
  EXPECT_TRUE(first.Undo().ok());
}

TEST_F(FunctionEntryTest, SwapThroughOriginals) {
  Redirection swap = *Redirection::Prepare(
      {{*Function::Of(&Answer), Address(Original(&Answer2))},
       {*Function::Of(&Answer2), Address(Original(&Answer))}});
  ASSERT_TRUE(swap.Apply().ok());
  EXPECT_EQ(Answer(1), 201);
  EXPECT_EQ(Answer2(1), 101);
  ASSERT_TRUE(swap.Undo().ok());
}

TEST(FunctionEntryDeathTest, OriginalOfAFunctionWithoutEntry) {
  EXPECT_DEATH(Original(&code_test::NotUpdatable), "updatable_cc_library");
}

TEST(FunctionEntryDeathTest, AppliedTwice) {
  Redirection redirection = *Redirection::Prepare({FromTo(&Answer, &Answer2)});
  EXPECT_DEATH(
      {
        (void)redirection.Apply();
        (void)redirection.Apply();
      },
      "can be applied once");
}

}  // namespace
}  // namespace instar
