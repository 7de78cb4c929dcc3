// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/producer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<UnitProducer> Of(const char* suffix, const char* flags) {
  const CompiledObject object("int f(int n) { return n + 1; }", suffix, flags);
  EXPECT_TRUE(object.status().ok()) << object.status();
  std::vector<UnitProducer> producers = ProducersOf(*object);
  // Each of this test's sources has a name of its own.
  for (UnitProducer& producer : producers) {
    EXPECT_THAT(producer.source, HasSubstr(suffix));
    producer.source = "shop";
  }
  return producers;
}

TEST(ProducerTest, TellsCompilerAndFlags) {
  for (const char* suffix : {".c", ".cc"}) {
    const auto producers = Of(suffix, "-g -O2 -fno-ipa-icf");
    ASSERT_EQ(producers.size(), 1u);
    EXPECT_THAT(producers[0].compiler, StartsWith("GNU C"));
    EXPECT_THAT(producers[0].flags, Contains("-O2"));
    EXPECT_THAT(producers[0].flags, Contains("-fno-ipa-icf"));
    EXPECT_FALSE(producers[0].folder.empty());
  }
}

TEST(ProducerTest, FlagsThatOnlyDescribeMayDiffer) {
  EXPECT_EQ(ProducerDifference(Of(".c", "-g -O2"),
                               Of(".c", "-g3 -gdwarf-4 -O2 -Wall -DX=3")),
            "");
}

TEST(ProducerTest, SaysWhichFlagDiffers) {
  EXPECT_EQ(ProducerDifference(Of(".c", "-g -O2"), Of(".c", "-g -O1")),
            "shop was compiled with -O2 in the old build and with -O1 instead "
            "in the new; build both with the same flags");
  EXPECT_EQ(
      ProducerDifference(Of(".c", "-g -O2"),
                         Of(".c", "-g -O2 -fno-inline -ffast-math")),
      "shop was compiled without -fno-inline -ffast-math in the old build and "
      "with it in the new; build both with the same flags");
  EXPECT_EQ(
      ProducerDifference(Of(".c", "-g -O2 -fno-plt"), Of(".c", "-g -O2")),
      "shop was compiled with -fno-plt in the old build and without it in "
      "the new; build both with the same flags");
}

TEST(ProducerTest, SaysThatTheCompilerDiffers) {
  const auto old_units = Of(".c", "-g -O2");
  auto new_units = old_units;
  new_units[0].compiler = "GNU C17 99.1.0";
  EXPECT_THAT(ProducerDifference(old_units, new_units),
              HasSubstr("and by GNU C17 99.1.0 in the new one; build both with "
                        "the same compiler"));
}

TEST(ProducerTest, TheOrderOfFlagsCounts) {
  const auto old_units = Of(".c", "-g -O2 -fno-plt");
  auto new_units = old_units;
  std::reverse(new_units[0].flags.begin(), new_units[0].flags.end());
  EXPECT_NE(ProducerDifference(old_units, new_units), "");
}

}  // namespace
}  // namespace differ
}  // namespace instar
