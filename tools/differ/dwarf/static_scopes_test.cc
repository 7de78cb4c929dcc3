// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/static_scopes.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

// "function|name|type|order/of" of each.
std::vector<std::string> Told(const std::vector<StaticVariable>& variables) {
  std::vector<std::string> told;
  for (const StaticVariable& v : variables) {
    told.push_back(absl::StrCat(v.function, "|", v.name, "|", v.type, "|",
                                v.order, "/", v.of,
                                v.is_thread_local ? " thread" : ""));
  }
  return told;
}

class StaticScopesTest : public ::testing::TestWithParam<const char*> {};

TEST_P(StaticScopesTest, OfC) {
  const CompiledObject object(R"(
      struct order { int price; };
      static int hits = 1;
      struct order *last;
      static __thread long mine = 2;
      __attribute__((noinline)) static int once(int n) {
        static int hits;
        if (n > 3) { static int hits = 4; hits += n; return hits++; }
        return hits += n;
      }
      static inline __attribute__((always_inline)) int twice(int n) {
        static struct order hits[2];
        return hits[n & 1].price += n;
      }
      int use(int n) {
        mine += n;
        return once(n) + twice(n) + twice(n + 1) + hits++ + last->price +
               (int)mine;
      })",
                              ".c", GetParam());
  ASSERT_TRUE(object.status().ok()) << object.status();
  const auto variables = StaticVariablesOf(*object);
  EXPECT_THAT(
      Told(variables),
      UnorderedElementsAre("|hits|int|0/1", "|last|order*|0/1",
                           "|mine|long int|0/1 thread", "once|hits|int|0/2",
                           "once|hits|int|1/2", "twice|hits|order[2]|0/1"));
  for (const StaticVariable& v : variables) {
    const Section& section = object.file().sections()[v.place.section];
    EXPECT_EQ(section.Has(SHF_TLS), v.is_thread_local);
    EXPECT_TRUE(section.Has(SHF_WRITE));
    EXPECT_EQ(v.is_external, v.name == "last");
    EXPECT_EQ(v.linkage_name_of_function, v.function);
    EXPECT_EQ(v.is_inlined, v.function == "twice");
    EXPECT_TRUE(v.function != "once" || v.line == 7 + v.order) << v.line;
  }
}

TEST_P(StaticScopesTest, OfCxx) {
  const CompiledObject object(R"(
      namespace shop {
      namespace {
      int hits = 1;
      __attribute__((noinline)) int Local(int n) { static int hits; return hits += n; }
      __attribute__((noinline)) int Local(char n) { static int hits; return hits += n; }
      }  // namespace
      struct Site {
        static int total;
        int Sell(int n) const;
        Site();
      };
      int Site::total = 3;
      Site::Site() { static int made; total += ++made; }
      int Site::Sell(int n) const {
        auto first = [](int m) { static long hits; return hits += m; };
        auto second = [n](int m) { static int hits; return hits += m + n; };
        struct Inner { int Go(int m) { static short hits; return hits += m; } };
        return first(n) + second(n) + Inner().Go(n) + Local(n) + Local('c') +
               ++shop::hits;
      }
      thread_local int mine = 5;
      template <typename T> T Count() { static T count; return ++count; }
      int Use() { return Count<int>() + Count<char>() + ++mine; }
      }  // namespace shop)",
                              ".cc", GetParam());
  ASSERT_TRUE(object.status().ok()) << object.status();
  const auto variables = StaticVariablesOf(*object);
  EXPECT_THAT(
      Told(variables),
      UnorderedElementsAre(
          "|hits|int|0/1", "|total|int|0/1", "|mine|int|0/1 thread",
          "shop::(anonymous namespace)::Local(int)|hits|int|0/1",
          "shop::(anonymous namespace)::Local(char)|hits|int|0/1",
          "shop::Site::Site()|made|int|0/1",
          "shop::Site::Sell(int) const::{lambda(int)#1}::operator()(int) const"
          "|hits|long int|0/1",
          "shop::Site::Sell(int) const::{lambda(int)#2}::operator()(int) const"
          "|hits|int|0/1",
          "shop::Site::Sell(int) const::Inner::Go(int)|hits|short int|0/1",
          "shop::Count<int>()|count|int|0/1",
          "shop::Count<char>()|count|char|0/1"));
  for (const StaticVariable& v : variables) {
    if (v.function == "shop::(anonymous namespace)::Local(int)") {
      EXPECT_EQ(v.linkage_name_of_function, "_ZN4shop12_GLOBAL__N_15LocalEi");
      EXPECT_EQ(v.qualified_name,
                "shop::(anonymous namespace)::Local(int)::hits");
      EXPECT_FALSE(v.is_inlined);
    }
    if (v.name == "made") {
      EXPECT_EQ(v.linkage_name_of_function, "_ZN4shop4SiteC4Ev");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Flags, StaticScopesTest,
                         ::testing::Values("-O0 -g", "-O2 -g", "-O2 -gdwarf-4",
                                           "-O3 -g -gz"));

TEST(StaticScopesTest, ThoseOfOneNameAreInTheOrderOfTheirDeclarations) {
  const CompiledObject object(
      "int f(int n) {\n"
      "  if (n) { static int list = 1; return ++list; }\n"
      "  { static int list = 2; n += ++list; }\n"
      "  { static int list = 3; n += ++list; }\n"
      "  return n;\n"
      "}",
      ".c", "-O2 -g");
  ASSERT_TRUE(object.status().ok()) << object.status();
  std::map<int, int> line_of;
  for (const StaticVariable& v : StaticVariablesOf(*object)) {
    EXPECT_EQ(v.of, 3);
    line_of[v.order] = v.line;
  }
  EXPECT_EQ(line_of, (std::map<int, int>{{0, 2}, {1, 3}, {2, 4}}));
}

TEST(VariableDifferenceTest, TellsWhetherWhatItHoldsMeansTheSame) {
  const auto of = [](const char* declaration) {
    const CompiledObject object(declaration, ".c", "-g");
    EXPECT_TRUE(object.status().ok()) << object.status();
    const auto variables = StaticVariablesOf(*object);
    return variables.size() == 1 ? variables[0] : StaticVariable();
  };
  const auto difference = [&of](const char* was, const char* is) {
    return VariableDifference(of(was), of(is));
  };
  EXPECT_EQ(difference("int a;", "typedef int number; volatile number a;"), "");
  EXPECT_EQ(difference("int a;", "unsigned a;"), "");
  EXPECT_EQ(difference("_Bool a;", "unsigned char a;"), "");
  EXPECT_EQ(difference("char *a;", "const char *a;"), "");
  EXPECT_EQ(difference("int a[3];", "int a[4];"), "");
  EXPECT_EQ(difference("struct s { int a; } a;", "struct s { int b; } a;"), "");
  EXPECT_EQ(difference("int a;", "float a;"), "was int, is float");
  EXPECT_EQ(difference("unsigned char a;", "_Bool a;"),
            "was unsigned char, is _Bool");
  EXPECT_EQ(difference("char *a;", "int *a;"), "was char*, is int*");
  EXPECT_EQ(difference("int a[2];", "long a[1];"),
            "was int[2], is long int[1]");
  EXPECT_EQ(difference("struct s { int a; } a;", "struct t { int a; } a;"),
            "was s, is t");
  EXPECT_EQ(difference("int a;", "long a;"), "was int, is long int");
}

}  // namespace
}  // namespace differ
}  // namespace instar
