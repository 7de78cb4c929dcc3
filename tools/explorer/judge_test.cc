// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/judge.h"

#include <cstddef>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/explorer/internal/sample.h"

namespace instar {
namespace {

using explorer_internal::SampleEvenly;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Empty if it is right.
std::string Judged(Lines output, std::size_t lines_before,
                   const Lines& without_update, const Lines& with_update,
                   bool is_applied = true) {
  ExploredRun run{std::move(output), without_update, with_update};
  run.lines_before = lines_before;
  run.is_applied = is_applied;
  return std::string(OldThenNew(run).message());
}

TEST(OldThenNewTest, LineByLine) {
  const Lines a = {"a1", "a2", "a3"}, b = {"b1", "b2", "b3"};
  EXPECT_EQ(Judged(a, 0, a, b), "");
  EXPECT_EQ(Judged(b, 0, a, b), "");
  EXPECT_EQ(Judged({"a1", "b2", "b3"}, 1, a, b), "");
  // What had begun goes on in the old version.
  EXPECT_EQ(Judged({"a1", "a2", "b3"}, 1, a, b), "");
  EXPECT_THAT(Judged({"b1", "b2", "b3"}, 1, a, b), HasSubstr("line 1 is 'b1'"));
  EXPECT_THAT(Judged({"a1", "b2", "a3"}, 0, a, b), HasSubstr("line 3 is 'a3'"));
  EXPECT_THAT(Judged({"a1", "x", "b3"}, 0, a, b),
              HasSubstr("line 2 is 'x'; without the update it is 'a2', with it "
                        "'b2'"));
  EXPECT_THAT(Judged({"a1", "b3"}, 0, a, b), HasSubstr("2 lines, where both"));
  EXPECT_THAT(Judged({"a1", "a2", "a3", "b3"}, 0, a, b),
              HasSubstr("4 lines, where both"));
}

TEST(OldThenNewTest, ANewEndThatBeginsAnywhere) {
  const Lines a = {"a1", "a2"}, b = {"b0", "b1", "b2", "b3"};
  EXPECT_EQ(Judged(a, 0, a, b), "");
  EXPECT_EQ(Judged(b, 0, a, b), "");
  EXPECT_EQ(Judged({"a1", "b2", "b3"}, 1, a, b), "");
  EXPECT_EQ(Judged({"a1", "b3"}, 1, a, b), "");
  EXPECT_THAT(Judged({"b1", "b2", "b3"}, 1, a, b), HasSubstr("line 1 is 'b1'"));
  EXPECT_THAT(Judged({"a1", "b2", "x"}, 0, a, b), HasSubstr("line 2 is 'b2'"));
}

TEST(OldThenNewTest, LinesThatAreTheSame) {
  const Lines a = {"s", "a", "s"}, b = {"s", "b", "s"};
  for (std::size_t before = 0; before <= 3; ++before) {
    EXPECT_EQ(Judged(a, before, a, b), "");
    EXPECT_EQ(Judged(b, before, a, b) == "", before <= 1);
  }
}

TEST(OldThenNewTest, WhatWasNotAppliedIsAsWithoutIt) {
  const Lines a = {"a1", "a2"}, b = {"b1", "b2"};
  EXPECT_EQ(Judged(a, 0, a, b, /*is_applied=*/false), "");
  EXPECT_THAT(Judged({"a1", "b2"}, 0, a, b, /*is_applied=*/false),
              HasSubstr("line 2 is 'b2'"));
}

TEST(FirstDifferenceTest, NamesTheLine) {
  EXPECT_EQ(FirstDifference({"a"}, {"a"}), std::nullopt);
  EXPECT_EQ(FirstDifference({"a", "b"}, {"a", "c"}),
            "line 2: 'b' in the first, 'c' in the second");
  EXPECT_EQ(FirstDifference({"a"}, {"a", "c"}),
            "line 2: nothing in the first, 'c' in the second");
}

TEST(SampleEvenlyTest, HasTheFirstAndTheLast) {
  EXPECT_THAT(SampleEvenly(0, 3), IsEmpty());
  EXPECT_THAT(SampleEvenly(3, 0), ElementsAre(0, 1, 2));
  EXPECT_THAT(SampleEvenly(3, 9), ElementsAre(0, 1, 2));
  EXPECT_THAT(SampleEvenly(3, 1), ElementsAre(0));
  EXPECT_THAT(SampleEvenly(100, 4), ElementsAre(0, 33, 66, 99));
  EXPECT_THAT(SampleEvenly(5, 4), ElementsAre(0, 1, 2, 4));
}

}  // namespace
}  // namespace instar
