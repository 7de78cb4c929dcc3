// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/activity.h"

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/unwind_table.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"
#include "stack/testing/activity_cases.h"
#include "stack/testing/walk_cases.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<int> At(const FunctionSet& set, std::uintptr_t pc) {
  std::vector<int> functions;
  set.ForEachAt(pc, [&](int function) { functions.push_back(function); });
  EXPECT_EQ(set.Contains(pc), !functions.empty());
  return functions;
}

TEST(FunctionSetTest, FindsTheFunctionOfAnAddress) {
  const FunctionSet set({{300, 400, 3}, {100, 200, 1}, {200, 250, 2}});
  EXPECT_THAT(At(set, 99), IsEmpty());
  EXPECT_THAT(At(set, 100), ElementsAre(1));
  EXPECT_THAT(At(set, 199), ElementsAre(1));
  EXPECT_THAT(At(set, 200), ElementsAre(2));
  EXPECT_THAT(At(set, 250), IsEmpty());
  EXPECT_THAT(At(set, 299), IsEmpty());
  EXPECT_THAT(At(set, 399), ElementsAre(3));
  EXPECT_THAT(At(set, 400), IsEmpty());
  EXPECT_THAT(At(set, ~std::uintptr_t{0}), IsEmpty());
  EXPECT_THAT(At(set, 0), IsEmpty());
}

TEST(FunctionSetTest, EmptyRangesAndSetsHoldNothing) {
  EXPECT_THAT(At(FunctionSet({}), 5), IsEmpty());
  EXPECT_THAT(At(FunctionSet({{5, 5, 1}, {9, 7, 1}}), 5), IsEmpty());
}

TEST(FunctionSetTest, InlinedCopiesBelongToBothFunctions) {
  const FunctionSet set({{100, 200, 1}, {120, 130, 2}, {125, 230, 3}});
  EXPECT_THAT(At(set, 110), ElementsAre(1));
  EXPECT_THAT(At(set, 120), ElementsAre(1, 2));
  EXPECT_THAT(At(set, 129), ElementsAre(1, 2, 3));
  EXPECT_THAT(At(set, 130), ElementsAre(1, 3));
  EXPECT_THAT(At(set, 229), ElementsAre(3));
}

TEST(FunctionSetTest, AgreesWithASearchThroughAllRanges) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<FunctionRange> ranges;
    const int count = static_cast<int>(random() % 20);
    for (int i = 0; i < count; ++i) {
      const std::uintptr_t start = random() % 200;
      ranges.push_back(
          {start, start + random() % 40, static_cast<int>(random() % 6)});
    }
    const FunctionSet set(ranges);
    for (std::uintptr_t pc = 0; pc < 250; ++pc) {
      std::set<int> expected;
      for (const FunctionRange& range : ranges) {
        if (pc >= range.start && pc < range.end) {
          expected.insert(range.function);
        }
      }
      EXPECT_EQ(At(set, pc),
                std::vector<int>(expected.begin(), expected.end()));
    }
  }
}

FunctionRange RangeOf(const void* function, int number) {
  UnwindEntry entry;
  EXPECT_EQ(FindUnwindEntry(reinterpret_cast<std::uintptr_t>(function), &entry),
            UnwindLookup::kFound);
  return FunctionRange{entry.start, entry.end, number};
}

template <typename Result>
FunctionRange RangeOf(Result (*function)(Tree*), int number) {
  return RangeOf(reinterpret_cast<const void*>(function), number);
}

// Grows a tree at random, and at each step compares what is active with what
// it knows.
class RandomTree : public Tree {
 public:
  RandomTree(const std::vector<TreeFunction>& functions, unsigned seed)
      : random_(seed), set_(Ranges(functions)) {}

  int Next(int self) override {
    if (returning_) {
      EXPECT_FALSE(active_.empty());
      active_.pop_back();  // the callee has returned
    }
    if (active_.empty() || calling_) active_.push_back(self);
    calling_ = returning_ = false;
    Compare();
    if (--steps_ > 0 && active_.size() < 60 && random_() % 5 < 3) {
      calling_ = true;
      return static_cast<int>(random_() % 8);
    }
    returning_ = true;
    return -1;
  }

  int comparisons() const { return comparisons_; }

 private:
  static std::vector<FunctionRange> Ranges(
      const std::vector<TreeFunction>& functions) {
    std::vector<FunctionRange> ranges;
    for (std::size_t i = 0; i < functions.size(); ++i) {
      ranges.push_back(RangeOf(functions[i], static_cast<int>(i)));
    }
    return ranges;
  }

  void Compare() {
    ++comparisons_;
    const StackSnapshot here = SnapshotOfCaller();
    std::vector<int> found;
    const WalkResult walk = ForEachActivation(
        here, set_,
        [&](int function, const Frame&) { found.push_back(function); });
    EXPECT_TRUE(walk.complete()) << walk.ToString();
    EXPECT_EQ(found, std::vector<int>(active_.rbegin(), active_.rend()));
    const Activity activity = FindActivity(here, set_);
    EXPECT_EQ(activity.kind, ActivityKind::kActive);
    EXPECT_EQ(activity.function, active_.back());
  }

  std::mt19937 random_;
  const FunctionSet set_;
  std::vector<int> active_;  // outermost first
  bool calling_ = false;
  bool returning_ = false;
  int steps_ = 300;
  int comparisons_ = 0;
};

TEST(ActivityTest, EqualsWhatRandomTreesOfCallsKnow) {
  for (const auto* functions :
       {&unoptimized::TreeFunctions(), &optimized::TreeFunctions(),
        &without_frame_pointers::TreeFunctions()}) {
    int comparisons = 0;
    for (unsigned seed = 0; seed < 60; ++seed) {
      RandomTree tree(*functions, seed);
      (*functions)[seed % 8](&tree);
      comparisons += tree.comparisons();
    }
    EXPECT_GT(comparisons, 1000);
  }
}

TEST(ActivityTest, EqualsWhatRandomTreesKnowInAContinulet) {
  using Walker = Continulet<int(int)>;
  for (unsigned seed = 0; seed < 20; ++seed) {
    Walker walker("tree", [seed](Walker::Self&, int) {
      RandomTree tree(optimized::TreeFunctions(), seed);
      optimized::TreeFunctions()[seed % 8](&tree);
      return tree.comparisons();
    });
    EXPECT_GT(walker.Switch(0), 0);
  }
}

TEST(ActivityTest, ASetThatIsNotOnTheStackIsQuiescent) {
  const FunctionSet set({RangeOf(optimized::TreeFunctions()[0], 0)});
  const Activity activity = FindActivity(SnapshotOfCaller(), set);
  EXPECT_TRUE(activity.quiescent());
  EXPECT_EQ(activity.ToString(), "quiescent");
}

TEST(ActivityTest, NamesTheFrame) {
  const FunctionSet set(
      {RangeOf(reinterpret_cast<const void*>(&UnoptimizedFrame), 42)});
  Activity activity;
  UnoptimizedFrame([&] { activity = FindActivity(SnapshotOfCaller(), set); });
  EXPECT_EQ(activity.kind, ActivityKind::kActive);
  EXPECT_EQ(activity.function, 42);
  EXPECT_GT(activity.depth, 0);
  EXPECT_THAT(activity.ToString(), HasSubstr("active: function 42 at pc 0x"));
}

TEST(ActivityTest, AnIncompleteWalkIsUnknownAndNeverQuiescent) {
  const FunctionSet set({RangeOf(optimized::TreeFunctions()[0], 0)});
  Activity activity;
  CallWithoutUnwindInformation(
      [&] { activity = FindActivity(SnapshotOfCaller(), set); });
  EXPECT_EQ(activity.kind, ActivityKind::kUnknown);
  EXPECT_FALSE(activity.quiescent());
  EXPECT_THAT(activity.ToString(), HasSubstr("no unwind information"));
}

TEST(ActivityTest, WhatWasSeenBeforeAWalkFailedIsActive) {
  const FunctionSet set(
      {RangeOf(reinterpret_cast<const void*>(&UnoptimizedFrame), 1)});
  Activity activity;
  CallWithoutUnwindInformation([&] {
    UnoptimizedFrame([&] { activity = FindActivity(SnapshotOfCaller(), set); });
  });
  EXPECT_EQ(activity.kind, ActivityKind::kActive);
}

TEST(ActivityTest, AFunctionThatThePausedBodyIsInIsActive) {
  using Body = Continulet<int(int)>;
  const FunctionSet set(
      {RangeOf(reinterpret_cast<const void*>(&UnoptimizedFrame), 1)});
  Body body("body", [](Body::Self& self, int) {
    UnoptimizedFrame([&] { self.Switch(1); });
    self.Switch(2);
    return 3;
  });
  EXPECT_EQ(body.Switch(0), 1);
  EXPECT_EQ(FindActivity(SnapshotOf(*body.paused_context()), set).kind,
            ActivityKind::kActive);
  EXPECT_EQ(body.Switch(0), 2);
  EXPECT_EQ(FindActivity(SnapshotOf(*body.paused_context()), set).kind,
            ActivityKind::kQuiescent);
  EXPECT_EQ(body.Switch(0), 3);
}

}  // namespace
}  // namespace instar
