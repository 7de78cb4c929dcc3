// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// From functions by name to what is active on a real stack.

#include "stack/function_set.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/portable/needs_entries_for_test.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/activity.h"
#include "stack/stack_snapshot.h"
#include "stack/testing/function_set_cases.h"

namespace instar {
namespace {

using ::instar::stack_test::CallsVersion1;
using ::instar::stack_test::HoldsCopy;
using ::instar::stack_test::InlinedEntry;
using ::instar::stack_test::Version1;
using ::instar::stack_test::Version2;
using ::instar::stack_test::Version3;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

template <typename F>
Function Of(F* function) {
  return Function::Of(function).value();
}

WatchedFunctions Watch(std::vector<Function> functions) {
  return WatchedFunctions::Make(functions).value();
}

// What is active where this is called.
__attribute__((noinline)) std::string ActiveHere(
    const WatchedFunctions& watched) {
  const StackSnapshot here = SnapshotOfCaller();
  return watched.Describe(FindActivity(here, watched.set()));
}

Redirection Redirected(const Function& from, const Function& to) {
  Redirection redirection = Redirection::Prepare({{from, to.entry()}}).value();
  EXPECT_TRUE(redirection.Apply().ok());
  return redirection;
}

TEST(WatchedFunctionsTest, FunctionOfTheProgram) {
  const WatchedFunctions watched = Watch({Of(&Version2), Of(&Version1)});
  EXPECT_EQ(ActiveHere(watched), "quiescent");
  std::string inside;
  const stack_test::Callback look = [&] { inside = ActiveHere(watched); };
  EXPECT_EQ(Version1(look), 1);
  EXPECT_THAT(inside, AllOf(StartsWith("active: instar::stack_test::Version1("),
                            HasSubstr("frame "), Not(HasSubstr("version ")),
                            Not(HasSubstr("inlined"))));
  EXPECT_EQ(Version2(look), 2);
  EXPECT_THAT(inside, HasSubstr("Version2"));
  EXPECT_EQ(Version3(look), 3);
  EXPECT_EQ(inside, "quiescent");
}

TEST(WatchedFunctionsTest, NumberIsThePlaceInTheList) {
  const WatchedFunctions watched = Watch({Of(&Version2), Of(&Version1)});
  int number = -1;
  Version1([&] {
    number = FindActivity(SnapshotOfCaller(), watched.set()).function;
  });
  EXPECT_EQ(number, 1);
}

TEST(WatchedFunctionsTest, InlinedCopyIsFoundFromDebugInformation) {
  const WatchedFunctions watched =
      Watch({Function::AtEntry(InlinedEntry()).value()});
  std::string inside;
  HoldsCopy([&] { inside = ActiveHere(watched); });
  EXPECT_THAT(
      inside,
      AllOf(StartsWith("active: "), HasSubstr("Inlined("),
            HasSubstr(", inlined into instar::stack_test::HoldsCopy(")));
  Version1([&] { inside = ActiveHere(watched); });
  EXPECT_EQ(inside, "quiescent");
}

TEST(WatchedFunctionsTest, OldBodyWhileRedirected) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const Function function = Of(&Version1);
  std::string inside;
  Version1([&] {
    Redirection redirection = Redirected(function, Of(&Version2));
    inside = ActiveHere(Watch({function}));
    EXPECT_TRUE(redirection.Undo().ok());
  });
  EXPECT_THAT(inside, AllOf(StartsWith("active: "), HasSubstr("Version1("),
                            Not(HasSubstr("in its version"))));
}

TEST(WatchedFunctionsTest, NewBodyWhileRedirectedAndAfterTheUndo) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const Function function = Of(&Version1);
  Redirection redirection = Redirected(function, Of(&Version2));
  std::string inside;
  std::string undone;
  EXPECT_EQ(Version1([&] {
              inside = ActiveHere(Watch({function}));
              EXPECT_TRUE(redirection.Undo().ok());
              undone = ActiveHere(Watch({function}));
            }),
            2);
  EXPECT_THAT(
      inside,
      AllOf(StartsWith("active: instar::stack_test::Version1("),
            HasSubstr(", in its version instar::stack_test::Version2(")));
  EXPECT_EQ(undone, inside);
}

TEST(WatchedFunctionsTest, VersionThatWasReplacedAndVersionOfAVersion) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const Function function = Of(&Version1);
  Redirection first = Redirected(function, Of(&Version2));
  std::string replaced;
  std::string next;
  Version1([&] {
    // Version2, whose own redirection is that of Version1 as well.
    Redirection second = Redirected(Of(&Version2), Of(&Version3));
    const WatchedFunctions watched = Watch({function});
    replaced = ActiveHere(watched);
    EXPECT_EQ(Version1([&] {
                const StackSnapshot here = SnapshotOfCaller();
                next = watched.Describe(FindActivity(here, watched.set()));
              }),
              3);
    EXPECT_TRUE(second.Undo().ok());
  });
  EXPECT_THAT(replaced, HasSubstr("in its version instar::stack_test::Ver"
                                  "sion2("));
  EXPECT_THAT(next, HasSubstr("in its version instar::stack_test::Version3("));
  EXPECT_TRUE(first.Undo().ok());
}

TEST(WatchedFunctionsTest, IncludesVersionsOnlyOnceTheyWereInEffect) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  // A function of this test alone: what was redirected stays known.
  const Function function = Of(&CallsVersion1);
  const auto prepared =
      Redirection::Prepare({{function, Of(&HoldsCopy).entry()}});
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_TRUE(AllRedirectionTargets(function).empty());
  std::string inside;
  HoldsCopy([&] { inside = ActiveHere(Watch({function})); });
  EXPECT_EQ(inside, "quiescent");
}

TEST(WatchedFunctionsTest, InterceptedEntrySeesTheCallerAndNotTheFunction) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const Function function = Of(&Version1);
  const WatchedFunctions caller = Watch({Of(&CallsVersion1)});
  const WatchedFunctions entered = Watch({function});
  std::vector<std::string> seen;
  ScopedEntryInterceptor interceptor([&](const InterceptedEntry& entry) {
    ASSERT_EQ(entry.function(), function.entry());
    const StackSnapshot at_entry = SnapshotAtEntry(
        entry.caller().return_address, entry.caller().stack_pointer,
        entry.caller().frame_pointer, StackOfCaller());
    seen.push_back(caller.Describe(FindActivity(at_entry, caller.set())));
    seen.push_back(entered.Describe(FindActivity(at_entry, entered.set())));
    // Through the thunk's own unwind information.
    seen.push_back(ActiveHere(caller));
    seen.push_back(ActiveHere(entered));
  });
  auto interception = EntryInterception::Of({function});
  ASSERT_TRUE(interception.ok()) << interception.status();
  EXPECT_EQ(CallsVersion1([] {}), 1);
  ASSERT_TRUE(interception->Stop().ok());
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_THAT(seen[0],
              AllOf(StartsWith("active: instar::stack_test::CallsVersion1("),
                    HasSubstr("frame 0")));
  EXPECT_EQ(seen[1], "quiescent");
  EXPECT_THAT(seen[2],
              StartsWith("active: instar::stack_test::CallsVersion1("));
  EXPECT_EQ(seen[3], "quiescent");
}

int WithoutDebugInformation(int a) { return a; }

TEST(WatchedFunctionsTest, UnknownCopiesAreRefusedUnlessIgnored) {
  const Function local =
      Function::AtEntry(reinterpret_cast<uintptr_t>(&WithoutDebugInformation))
          .value();
  const auto refused = WatchedFunctions::Make({local});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("WithoutDebugInformation"),
                    HasSubstr("updatable_cc_library")));
  WatchedFunctions::Options options;
  options.ignore_unknown_copies = true;
  const auto watched = WatchedFunctions::Make({local}, options);
  EXPECT_TRUE(watched.ok()) << watched.status();
}

TEST(WatchedFunctionsTest, AllCodeOfAnObject) {
  const Function version1 = Of(&Version1);
  WatchedFunctions::Options options;
  options.images.push_back({"/lib/module.so",
                            {version1.entry(), version1.entry() + 16384},
                            false,
                            "it was stripped of symbols"});
  const WatchedFunctions watched =
      WatchedFunctions::Make({Of(&Version2)}, options).value();
  std::string inside, of_the_caller, name = "unset";
  bool is_image = false;
  const stack_test::Callback look = [&] {
    const StackSnapshot here = SnapshotOfCaller();
    const Activity activity = FindActivity(here, watched.set());
    inside = watched.Describe(activity);
    is_image = watched.IsImage(activity);
    name = watched.NameOf(activity);
    of_the_caller = watched.Describe(watched.FindOnOwn(here));
  };
  EXPECT_EQ(Version1(look), 1);
  EXPECT_THAT(inside, AllOf(StartsWith("active: code of /lib/module.so at pc "),
                            HasSubstr("frame "),
                            HasSubstr("it was stripped of symbols")));
  EXPECT_TRUE(is_image);
  EXPECT_EQ(name, "");
  EXPECT_EQ(of_the_caller, "quiescent");
  look();
  EXPECT_EQ(inside, "quiescent");
  EXPECT_FALSE(is_image);
}

}  // namespace
}  // namespace instar
