// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/class_functions.h"

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/activity.h"
#include "stack/stack_snapshot.h"
#include "threads/controlled_thread.h"
#include "updates/mechanisms/convert_test/class_functions_for_test.h"

namespace instar {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using namespace updates_test;  // NOLINT: the functions under test

constexpr char kScope[] = "instar::updates_test::";

WatchedFunctions MustFind(absl::StatusOr<WatchedFunctions> watched) {
  EXPECT_TRUE(watched.ok()) << watched.status();
  return *std::move(watched);
}

std::set<std::string> NamesOf(const WatchedFunctions& watched) {
  std::set<std::string> names;
  for (const Function& function : watched.functions()) {
    names.insert(function.name());
  }
  return names;
}

std::string Named(const std::string& name) { return kScope + name; }

// What a look at the own stack finds when `enter` runs it inside of something.
template <typename Enter>
std::string Inside(const WatchedFunctions& watched, Enter enter) {
  std::string found = "was not called";
  enter([&] {
    const StackSnapshot here = SnapshotOfCaller();
    found = watched.Describe(FindActivity(here, watched.set()));
  });
  return found;
}

TEST(ClassFunctionsTest, MemberFunctionsAndSignatures) {
  const std::set<std::string> names =
      NamesOf(MustFind(FunctionsOfClasses<Store>()));
  const std::string call = "std::function<void ()> const&";
  const std::vector<std::string> expected = {
      "Store::Open(" + call + ")", "Store::Describe[abi:cxx11]() const",
      "Store::Shelf::CountGoods(int) const", "Store::~Store()",
      "Visit(" + std::string(kScope) + "Store const&, " + call + ")"};
  for (const std::string& name : expected) {
    EXPECT_THAT(names, Contains(Named(name)));
  }
  EXPECT_THAT(names, Contains(StartsWith(Named("VisitAll("))));
  EXPECT_THAT(names, Contains("int " + Named("VisitNone<") + Named("Store>(") +
                              call + ")"));
  for (const std::string& name : names) {
    EXPECT_THAT(name, Not(HasSubstr("StoreRoom")));
    EXPECT_THAT(name, Not(HasSubstr("other::Store")));
    EXPECT_THAT(name, Not(HasSubstr("StoreV2")));
    EXPECT_THAT(name, Not(StartsWith(Named("FindStore("))));
    EXPECT_THAT(name, Not(StartsWith("std::")));
  }
}

TEST(ClassFunctionsTest, ActiveInside) {
  const WatchedFunctions watched = MustFind(FunctionsOfClasses<Store>());
  Store store("one");
  std::vector<std::unique_ptr<Store>> stores;
  EXPECT_THAT(Inside(watched, [&](const Call& c) { store.Open(c); }),
              HasSubstr("active: instar::updates_test::Store::Open("));
  EXPECT_THAT(Inside(watched, [&](const Call& c) { store.OpenInLambda(c); }),
              HasSubstr("Store::OpenInLambda("));
  EXPECT_THAT(Inside(watched, [&](const Call& c) { Visit(store, c); }),
              HasSubstr("active: instar::updates_test::Visit("));
  EXPECT_THAT(Inside(watched, [&](const Call& c) { VisitAll(stores, c); }),
              HasSubstr("VisitAll("));
  EXPECT_THAT(Inside(watched, [&](const Call& c) { VisitNone<Store>(c); }),
              HasSubstr("VisitNone<"));
  EXPECT_EQ(Inside(watched, [&](const Call& c) { StoreRoom().Enter(c); }),
            "quiescent");
  EXPECT_EQ(Inside(watched, [&](const Call& c) { other::Store().Enter(c); }),
            "quiescent");
  // What no name tells.
  EXPECT_EQ(Inside(watched, [&](const Call& c) { FindStore(1, c); }),
            "quiescent");
}

// The function has no code of its own; whoever holds the copy is inside.
TEST(ClassFunctionsTest, FunctionThatIsOnlyACopy) {
  const WatchedFunctions watched = MustFind(FunctionsOfClasses<Store>());
  EXPECT_THAT(NamesOf(watched), Not(Contains(HasSubstr("OpenInlined"))));
  const std::string found =
      Inside(watched, [&](const Call& call) { VisitFirst(call); });
  EXPECT_THAT(found, HasSubstr("active: instar::updates_test::Store::"
                               "OpenInlined("));
  EXPECT_THAT(found,
              HasSubstr(", inlined into instar::updates_test::VisitFirst("));
}

TEST(ClassFunctionsTest, LeftOutAndWatchedBesides) {
  ClassFunctionsOptions options;
  options.leave_out = {"instar::updates_test::Visit"};
  options.watch_also = {"instar::updates_test::FindStore"};
  const WatchedFunctions watched = MustFind(FunctionsOfClasses<Store>(options));
  Store store("one");
  EXPECT_EQ(Inside(watched, [&](const Call& c) { Visit(store, c); }),
            "quiescent");
  EXPECT_THAT(Inside(watched, [&](const Call& c) { FindStore(1, c); }),
              HasSubstr("active: instar::updates_test::FindStore("));
  EXPECT_THAT(Inside(watched, [&](const Call& c) { store.Open(c); }),
              HasSubstr("Store::Open("));

  options.leave_out = {"instar::updates_test::NoSuchFunction"};
  EXPECT_EQ(FunctionsOfClasses<Store>(options).status().code(),
            absl::StatusCode::kNotFound);
}

// A thread whose function takes the class: that function is named, and what
// starts threads is not.
TEST(ClassFunctionsTest, FunctionOfAThread) {
  ClassFunctionsOptions options;
  options.leave_out = {"instar::updates_test::Visit"};
  const WatchedFunctions watched = MustFind(FunctionsOfClasses<Store>());
  const WatchedFunctions without = MustFind(FunctionsOfClasses<Store>(options));
  const Store store("one");
  for (const bool is_controlled : {false, true}) {
    std::string found;
    std::string found_without;
    const auto look = [&] {
      const StackSnapshot here = SnapshotOfCaller();
      found = watched.Describe(FindActivity(here, watched.set()));
      found_without = without.Describe(FindActivity(here, without.set()));
    };
    if (is_controlled) {
      StartPassiveThread("thread", &Visit, std::cref(store), Call(look));
    } else {
      std::thread(&Visit, std::cref(store), Call(look)).join();
    }
    EXPECT_THAT(found, HasSubstr("active: instar::updates_test::Visit("));
    EXPECT_EQ(found_without, "quiescent");
  }
}

TEST(ClassFunctionsTest, ByName) {
  const auto one =
      MustFind(FunctionsOfClassesNamed({"instar::updates_test::Store"}));
  EXPECT_EQ(NamesOf(one), NamesOf(MustFind(FunctionsOfClasses<Store>())));
  const auto wrong = FunctionsOfClassesNamed({"updates_test::Store"});
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(wrong.status().message()),
              HasSubstr("updates_test::Store"));
}

TEST(ClassFunctionsTest, Templates) {
  const WatchedFunctions watched = MustFind(FunctionsOfClasses<Box<int>>());
  EXPECT_THAT(Inside(watched, [](const Call& c) { Box<int>().Open(c); }),
              HasSubstr("Box<int>::Open("));
  EXPECT_EQ(Inside(watched, [](const Call& c) { Box<char>().Open(c); }),
            "quiescent");
}

TEST(ClassFunctionsTest, AllVersions) {
  const std::set<std::string> names =
      NamesOf(MustFind(FunctionsOfVersions<Store, StoreV2>()));
  EXPECT_THAT(names, Contains(HasSubstr("StoreV2::Describe")));
  EXPECT_THAT(names, Contains(HasSubstr("Store::Describe")));
}

}  // namespace
}  // namespace instar
