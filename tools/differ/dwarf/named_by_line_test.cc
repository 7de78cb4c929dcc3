// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/named_by_line.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::UnorderedElementsAre;

class NamedByLineTest : public ::testing::TestWithParam<const char*> {
 protected:
  // "name line order/of" of each that is named by its line.
  static std::vector<std::string> In(const std::string& source,
                                     const char* suffix) {
    const CompiledObject object(source, suffix, GetParam());
    EXPECT_TRUE(object.status().ok()) << object.status();
    std::vector<std::string> told;
    if (!object.status().ok()) return told;
    for (const auto& entry : NamedByLineIn(*object)) {
      const NamedByLine& named = entry.second;
      told.push_back(absl::StrCat(named.name, " ", named.line, " ", named.order,
                                  "/", named.of));
      EXPECT_THAT(named.file, ::testing::EndsWith(suffix));
    }
    return told;
  }
};

TEST_P(NamedByLineTest, OfC) {
  EXPECT_THAT(In("static int v_1; int a(void) { return ++v_1; }\n"
                 "static int v_2_hits; int b(void) { return ++v_2_hits; }\n"
                 "static int v_3; int c(void) { return ++v_3; }\n"
                 "static int v_40; int d(void) { return ++v_40; }\n"
                 "static int v_55; int e(void) { return ++v_55; }\n"
                 "__attribute__((noipa)) static int h_6(int i) { return i; }\n"
                 "int f(int i) { static int v_7; return v_7 += h_6(i); }\n",
                 ".c"),
              UnorderedElementsAre("v_# 1 0/2", "v_#_hits 2 0/1", "v_# 3 1/2",
                                   "h_#() 6 0/1", "f/v_# 7 0/1"));
}

TEST_P(NamedByLineTest, OfCxx) {
  EXPECT_THAT(In("namespace { int v_1; } int a() { return ++v_1; }\n"
                 "namespace n { static int v_2; int b() { return ++v_2; } }\n"
                 "struct S { int v_3(); };\n"
                 "int S::v_3() { return 4; }\n"
                 "__attribute__((noipa)) static int h_5(int i) { return i; }\n"
                 "[[gnu::noipa]] static int h_6(int i) { static int n; return "
                 "n += i; }\n"
                 "int c(int i) { return h_5(h_6(i)); }\n",
                 ".cc"),
              UnorderedElementsAre("v_# 1 0/2", "v_# 2 1/2", "h_#() 5 0/2",
                                   "h_#/n 6 0/1", "h_#() 6 1/2"));
}

INSTANTIATE_TEST_SUITE_P(Flags, NamedByLineTest,
                         ::testing::Values("-O0 -g", "-O2 -g"));

}  // namespace
}  // namespace differ
}  // namespace instar
