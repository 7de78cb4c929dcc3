// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"
#include "tools/differ/dwarf/type_changes_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RegroupingTest : public ::testing::TestWithParam<Compiled> {
 protected:
  // Each is the types of one build; `order` is one of them.
  static std::vector<TypeChange> Compare(const std::string& was,
                                         const std::string& is) {
    const auto text = [](const std::string& types) {
      return absl::StrCat(
          types, "\nunsigned long use(struct order *o) { return sizeof *o; }");
    };
    return Changes(text(was), text(is), GetParam().suffix, GetParam().flags);
  }

  // The build, and the next one.
  using Builds = std::pair<std::string, std::string>;

  // Both ways.
  static void ExpectAccepted(const std::string& a, const std::string& b) {
    for (const Builds& builds : {Builds{a, b}, Builds{b, a}}) {
      const auto changes = Compare(builds.first, builds.second);
      ASSERT_THAT(Told(changes), ElementsAre("order: compatible"))
          << builds.first << " -> " << builds.second;
      EXPECT_THAT(changes[0].message,
                  HasSubstr("all is where it was, in other structures"));
      EXPECT_EQ(changes[0].advice, "");
    }
  }

  static void ExpectRefused(const std::string& a, const std::string& b) {
    for (const Builds& builds : {Builds{a, b}, Builds{b, a}}) {
      bool is_told = false;
      for (const TypeChange& change : Compare(builds.first, builds.second)) {
        if (change.name != "order") continue;
        is_told = true;
        EXPECT_NE(change.verdict, TypeVerdict::kCompatible) << change.message;
      }
      EXPECT_TRUE(is_told) << builds.first << " -> " << builds.second;
    }
  }
};

class CxxRegroupingTest : public RegroupingTest {};

INSTANTIATE_TEST_SUITE_P(Flags, CxxRegroupingTest,
                         ::testing::Values(Compiled{".cc", "-O0 -gdwarf-4"},
                                           Compiled{".cc", "-O2 -g"}));

INSTANTIATE_TEST_SUITE_P(Flags, RegroupingTest,
                         ::testing::Values(Compiled{".c", "-O0 -g"},
                                           Compiled{".c", "-O2 -gdwarf-4"},
                                           Compiled{".cc", "-O2 -g"}));

constexpr char kFlat[] =
    "struct order { int kind; char text[64]; int used; char *next; };";

TEST_P(RegroupingTest, MembersInAStructureOfTheirOwn) {
  ExpectAccepted(kFlat,
                 "struct text { char text[64]; int used; }; "
                 "struct order { int kind; struct text t; char *next; };");
  ExpectAccepted(kFlat,
                 "struct head { int kind; char text[64]; }; "
                 "struct order { struct head h; int used; char *next; };");
  ExpectAccepted(kFlat,
                 "struct all { int kind; char text[64]; int used; char *next; "
                 "}; struct order { struct all a; };");
  // As C's own libraries do it.
  ExpectAccepted(kFlat,
                 "typedef struct { char text[64]; int used; } text_t; "
                 "struct order { int kind; text_t t; char *next; };");
  ExpectAccepted(kFlat,
                 "struct order { int kind; struct { char text[64]; int used; } "
                 "t; char *next; };");
}

TEST_P(RegroupingTest, MembersInAStructureWithoutAName) {
  ExpectAccepted(kFlat,
                 "struct order { int kind; struct { char text[64]; int used; };"
                 " char *next; };");
}

TEST_P(RegroupingTest, StructuresInStructures) {
  ExpectAccepted(
      kFlat,
      "struct in { char text[64]; }; struct out { struct in i; int used; }; "
      "struct order { int kind; struct out o; char *next; };");
  // One of two structures is left out.
  ExpectAccepted(
      "struct in { char text[64]; int used; }; struct out { struct in i; }; "
      "struct order { int kind; struct out o; char *next; };",
      "struct in { char text[64]; int used; }; "
      "struct order { int kind; struct in i; char *next; };");
}

TEST_P(RegroupingTest, WhatIsNotTakenApart) {
  const std::string types =
      "union u { int a; float b; }; struct point { int x; int y; }; ";
  const std::string members =
      "union u u; struct point path[3]; const char *name; void (*f)(int); "
      "double d; struct order *link; ";
  ExpectAccepted(types + "struct order { long kind; " + members + "};",
                 types + "struct group { " + members +
                     "}; struct order { long kind; struct group g; };");
}

// What stays in its structure may have a name that others have, too.
TEST_P(RegroupingTest, BesidesStructuresOfOneType) {
  const std::string point = "struct point { int x; int y; }; ";
  ExpectAccepted(point +
                     "struct order { struct point p; struct point q; "
                     "int used; int kind; };",
                 point +
                     "struct rest { int used; int kind; }; struct order { "
                     "struct point p; struct point q; struct rest r; };");
  // But not what is in other structures than before.
  ExpectRefused(point + "struct order { struct point p; struct point q; };",
                point +
                    "struct both { struct point p; struct point q; }; "
                    "struct order { struct both b; };");
}

TEST_P(RegroupingTest, StructuresThatChangedPlaces) {
  const std::string point = "struct point { int x; int y; }; ";
  ExpectRefused(point + "struct order { struct point p; struct point q; };",
                point + "struct order { struct point q; struct point p; };");
  ExpectRefused(
      "struct a { int x; }; struct b { int y; }; "
      "struct order { struct a a; struct b b; };",
      "struct a { int y; }; struct b { int x; }; "
      "struct order { struct b b; struct a a; };");
}

TEST_P(RegroupingTest, AnotherName) {
  const auto with = [](const std::string& members) {
    return "struct text { " + members +
           " }; struct order { int kind; struct text t; char *next; };";
  };
  ExpectAccepted(kFlat, with("char text[64]; int used;"));
  ExpectRefused(kFlat, with("char text[64]; int size;"));
  ExpectRefused(kFlat, with("char used[64]; int text;"));
  // The structure around it.
  const std::string text = "struct text { char text[64]; int used; }; ";
  ExpectRefused(text + "struct order { int kind; struct text t; char *next; };",
                text +
                    "struct order { int kind; struct text u; char *next; "
                    "};");
  ExpectRefused(text + "struct order { int kind; struct text t; char *next; };",
                "struct other { char text[64]; int used; char *next; }; "
                "struct order { int kind; struct other o; };");
}

TEST_P(RegroupingTest, AnotherTypePlaceOrSize) {
  const auto with = [](const std::string& members, const char* rest = "") {
    return "struct text { " + members + " }; struct order { int kind; " + rest +
           " struct text t; char *next; };";
  };
  ExpectRefused(kFlat, with("char text[64]; unsigned used;"));
  ExpectRefused(kFlat, with("unsigned char text[64]; int used;"));
  ExpectRefused(kFlat, with("char text[4][16]; int used;"));
  ExpectRefused(kFlat, with("char text[60]; int used; int more;"));
  ExpectRefused(kFlat, with("int used; char text[64];"));
  ExpectRefused(kFlat, with("char text[64]; int used; int more;"));
  ExpectRefused(kFlat, with("char text[64]; int used;", "long more;"));
  ExpectRefused(kFlat, with("char text[64];"));
  // Its own padding moves what is behind it.
  ExpectRefused("struct order { int a; char b; char c; short d; };",
                "struct group { int a; char b; }; "
                "struct order { struct group g; char c; short d; };");
  ExpectRefused("struct order { int a; char b; char c; };",
                "struct group { int a; char b; }; "
                "struct order { struct group g; char c; };");
}

// All the same but a place, in a structure without padding.
TEST_P(RegroupingTest, AnotherPlaceInTheSameSize) {
  ExpectRefused("struct order { char a; short b; int c; };",
                "struct group { char a; short b; } __attribute__((packed)); "
                "struct order { struct group g; int c; };");
}

TEST_P(RegroupingTest, AStructureOfAnotherTypeAroundMore) {
  ExpectRefused(
      "struct one { int x; }; struct order { struct one g; int y; };",
      "struct two { int x; int y; }; struct order { struct two g; };");
}

TEST_P(RegroupingTest, UnionsAndArraysAreNoStructures) {
  ExpectRefused("struct order { int a; int b; };",
                "struct order { union { int a; int c; } u; int b; };");
  ExpectRefused("struct order { int a; int b; };",
                "struct group { int a; int b; }; "
                "struct order { struct group g[1]; };");
  ExpectRefused("struct order { int a[2]; };",
                "struct one { int a; }; struct order { struct one o[2]; };");
  const auto changes =
      Changes("union order { int a; int b; } o;",
              "struct group { int a; }; union order { struct group g; int b; } "
              "o;",
              GetParam().suffix, GetParam().flags);
  EXPECT_THAT(Told(changes), ElementsAre("order: changed"));
}

TEST_P(RegroupingTest, BitFields) {
  ExpectRefused("struct order { int kind; int a : 3; int b : 5; };",
                "struct flags { int a : 3; int b : 5; }; "
                "struct order { int kind; struct flags f; };");
}

TEST_P(RegroupingTest, Alignment) {
  const std::string members = "int kind[16]; int used[16];";
  const std::string flat = "struct order { " + members + " };";
  ExpectAccepted(flat, "struct group { " + members +
                           " }; struct order { struct group g; };");
  ExpectRefused(flat, "struct group { " + members +
                          " } __attribute__((aligned(64))); "
                          "struct order { struct group g; };");
  ExpectRefused(flat, "struct group { " + members +
                          " }; struct order { struct group g "
                          "__attribute__((aligned(64))); };");
  ExpectRefused(flat, "struct group { " + members +
                          " }; typedef struct group aligned "
                          "__attribute__((aligned(64))); "
                          "struct order { aligned g; };");
  ExpectRefused(flat,
                "struct group { int kind[16] __attribute__((aligned(64))); "
                "int used[16]; }; struct order { struct group g; };");
}

// Each object says what the structure is, and another one of that name is in
// another file.
TEST_P(RegroupingTest, AStructureThatDiffersByTheObject) {
  const std::string order = "struct order { struct group g; } o;";
  const auto compare = [&order](const std::string& second) {
    TypeSet sets[2];
    const std::vector<std::string> sources[2] = {
        {"struct order { int a; int b; } o;",
         "struct order { int a; int b; } o;"},
        {"struct group { int a; int b; }; " + order, second + order}};
    for (int i = 0; i < 2; ++i) {
      int number = 0;
      for (const std::string& source : sources[i]) {
        const CompiledObject object(source, GetParam().suffix,
                                    GetParam().flags);
        EXPECT_TRUE(object.status().ok()) << object.status();
        sets[i].Add(*object, absl::StrCat("o", ++number, ".o"));
      }
    }
    return Told(CompareTypes(sets[0], sets[1]));
  };
  EXPECT_THAT(compare("struct group { int a; int b; }; "),
              ElementsAre("order: compatible"));
  EXPECT_THAT(compare("struct group { int b; int a; }; "),
              ElementsAre("order: changed"));
}

TEST_P(CxxRegroupingTest, OnlyPlainStructures) {
  const std::string flat = "struct order { int a; int b; };";
  const auto with = [](const std::string& group) {
    return group + " struct order { group g; };";
  };
  ExpectAccepted(flat, with("struct group { int a; int b; };"));
  ExpectAccepted(flat, with("struct group { int a; int b; static int c; };"));
  ExpectRefused(flat, with("struct group { group(); int a; int b; };"));
  ExpectRefused(flat, with("struct group { ~group(); int a; int b; };"));
  ExpectRefused(flat, with("struct group { int f(); int a; int b; };"));
  ExpectRefused(flat, with("struct base { int a; }; "
                           "struct group : base { int b; };"));
  ExpectRefused("struct order { int *a; int *b; };",
                "struct group { virtual void f(); }; "
                "struct order { int *a; int *b; group *c; };");
}

TEST_P(CxxRegroupingTest, WhatIsNotPlainInAStructure) {
  const std::string word =
      "struct word { word(); word(const word&); ~word(); char *p; }; ";
  ExpectRefused(word + "struct order { int a; word b; };",
                word +
                    "struct group { int a; word b; }; "
                    "struct order { group g; };");
  // Its own members may be anything.
  ExpectAccepted(word + "struct order { int a; int c; word b; };",
                 word +
                     "struct group { int a; int c; }; "
                     "struct order { group g; word b; };");
}

TEST_P(CxxRegroupingTest, InClassesWithBasesAndVirtualFunctions) {
  const std::string base = "struct base { int n; virtual void f() {} }; ";
  ExpectAccepted(base + "struct order : base { int a; int b; } o;",
                 base +
                     "struct group { int a; int b; }; "
                     "struct order : base { group g; } o;");
  ExpectRefused(base + "struct order : base { int a; int b; } o;",
                base +
                    "struct group { int a; int b; }; struct order : base { "
                    "group g; void f() override {} } o;");
  ExpectRefused("struct order { int a; int b; };",
                "struct base { int a; }; struct order : base { int b; };");
  const std::string away = "struct base { int n; }; ";
  ExpectRefused(away + "struct order : virtual base { int a; int b; } o;",
                away +
                    "struct group { int a; int b; }; "
                    "struct order : virtual base { group g; } o;");
}

TEST_P(RegroupingTest, NothingIsToldWhereNothingDiffers) {
  EXPECT_THAT(Compare(kFlat, kFlat), IsEmpty());
}

}  // namespace
}  // namespace differ
}  // namespace instar
