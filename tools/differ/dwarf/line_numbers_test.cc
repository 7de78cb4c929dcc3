// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/line_numbers.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::HasSubstr;

constexpr char kSource[] = R"(
  void Fail(int line);
  int f(int n) {
    if (n > 3) {
      Fail(__LINE__);
    }
    return n;
  }
  int g(int n) {
    Fail(__LINE__);
    return n * 5;
  })";

class LineNumbersTest : public ::testing::TestWithParam<const char*> {};

// The instruction that passes __LINE__ is of that line.
TEST_P(LineNumbersTest, OfAnInstructionThatHoldsItsLine) {
  for (const char* suffix : {".c", ".cc"}) {
    const CompiledObject object(kSource, suffix, GetParam());
    ASSERT_TRUE(object.status().ok()) << object.status();
    const auto lines = LineNumbers::Of(*object);
    ASSERT_TRUE(lines.ok()) << lines.status();
    int found = 0;
    for (const Section& section : object.file().sections()) {
      if (!section.Has(SHF_EXECINSTR)) continue;
      for (std::size_t i = 0; i + 5 <= section.bytes.size(); ++i) {
        // mov $line, %edi
        if (section.bytes[i] != '\xbf') continue;
        const auto line = ReadAt<std::int32_t>(section.bytes, i + 1);
        if (line != 5 && line != 10) continue;
        const auto at = lines->Find({section.index, i});
        ASSERT_TRUE(at.has_value()) << section.name << "+" << i;
        EXPECT_EQ(at->line, *line);
        EXPECT_THAT(std::string(at->file), HasSubstr("compiled_"));
        EXPECT_EQ(lines->FindAll({section.index, i}).back().line, *line);
        ++found;
      }
      EXPECT_FALSE(lines->Find({section.index, section.size}).has_value());
    }
    EXPECT_EQ(found, 2);
  }
}

TEST_P(LineNumbersTest, OfAFunction) {
  const CompiledObject object(kSource, ".c", GetParam());
  ASSERT_TRUE(object.status().ok()) << object.status();
  const auto lines = LineNumbers::Of(*object);
  ASSERT_TRUE(lines.ok()) << lines.status();
  const std::uint32_t g = object.SectionOf(".text.g");
  const auto all = lines->FindAll({g, 0}, object.file().sections()[g].size);
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.front().line, 9);
  for (const SourceLine& line : all) {
    EXPECT_GE(line.line, 9);
    EXPECT_LE(line.line, 12);
  }
  EXPECT_TRUE(lines->FindAll({object.SectionOf(".comment"), 0}).empty());
}

INSTANTIATE_TEST_SUITE_P(Flags, LineNumbersTest,
                         ::testing::Values("-O0 -g", "-O2 -g", "-O2 -gdwarf-4",
                                           "-O2 -g -gz", "-O2 -g1"));

}  // namespace
}  // namespace differ
}  // namespace instar
