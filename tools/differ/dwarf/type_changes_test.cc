// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/type_changes.h"

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
using ::testing::UnorderedElementsAre;

class TypeChangesTest : public ::testing::TestWithParam<Compiled> {
 protected:
  // Of struct order, whose members these are.
  TypeChange OfOrder(const std::string& was, const std::string& is) {
    const auto changes = Compare(Using(was), Using(is));
    EXPECT_THAT(Told(changes), ElementsAre(HasSubstr("order: ")));
    if (changes.size() != 1) return TypeChange();
    EXPECT_EQ(changes[0].objects, std::vector<std::string>{"shop.o"});
    return changes[0];
  }

  // One object in both builds.
  static std::vector<TypeChange> Compare(const std::string& was,
                                         const std::string& is) {
    return Changes(was, is, GetParam().suffix, GetParam().flags);
  }

  static std::string Using(const std::string& members) {
    return absl::StrCat(
        "#include <stdint.h>\n#ifndef __cplusplus\n#include <stdbool.h>\n",
        "#endif\nenum color { kRed, kBlue };\n", "struct order { ", members,
        " };\nunsigned long use(struct order *o) { return sizeof *o; }");
  }
};

class CxxTypeChangesTest : public TypeChangesTest {};

INSTANTIATE_TEST_SUITE_P(Flags, CxxTypeChangesTest,
                         ::testing::Values(Compiled{".cc", "-O0 -gdwarf-4"},
                                           Compiled{".cc", "-O2 -g"}));

INSTANTIATE_TEST_SUITE_P(Flags, TypeChangesTest,
                         ::testing::Values(Compiled{".c", "-O0 -g"},
                                           Compiled{".c", "-O2 -gdwarf-4"},
                                           Compiled{".cc", "-O2 -g"}));

TEST_P(TypeChangesTest, NoneWhereOnlyItsTextDiffers) {
  EXPECT_THAT(Compare(Using("unsigned long a; char b[4]; struct order *next;"),
                      "typedef unsigned long size;\ntypedef char byte;\n" +
                          Using("size a;\n byte b[4];\n struct order *next;")),
              IsEmpty());
}

TEST_P(TypeChangesTest, ANewMemberInPadding) {
  const TypeChange change =
      OfOrder("long a; int b; long c;", "long a; int b; int d; long c;");
  EXPECT_EQ(change.verdict, TypeVerdict::kUsesPadding);
  EXPECT_EQ(change.message,
            "struct order (24 bytes): d (int, 4 bytes) is new at 12");
  ASSERT_EQ(change.members.size(), 1u);
  EXPECT_TRUE(change.members[0].has_come());
  EXPECT_EQ(change.members[0].new_bit_offset, 96u);
}

TEST_P(TypeChangesTest, ANewMemberInPaddingBehindAll) {
  EXPECT_EQ(OfOrder("long a; int b;", "long a; int b; short c;").verdict,
            TypeVerdict::kUsesPadding);
}

TEST_P(TypeChangesTest, ANewMemberThatWouldFitElsewhere) {
  const TypeChange change = OfOrder("long a; int b; long c; int d[4];",
                                    "int e; long a; int b; long c; int d[4];");
  EXPECT_EQ(change.verdict, TypeVerdict::kFitsPadding);
  EXPECT_EQ(
      change.advice,
      "move e behind b (at 12), where there is padding: then nothing else "
      "moves");
  EXPECT_THAT(change.message, HasSubstr("a was at 0, is at 8"));
}

// What moved five members by four bytes in a real patch, the size unchanged.
TEST_P(TypeChangesTest, ANewMemberThatMovesOthersWithinTheSameSize) {
  const TypeChange change = OfOrder("int a; int b; int c; char *d;",
                                    "int n; int a; int b; int c; char *d;");
  EXPECT_EQ(change.old_size, change.new_size);
  EXPECT_EQ(change.verdict, TypeVerdict::kFitsPadding);
  EXPECT_THAT(change.advice, HasSubstr("move n behind c (at 12)"));
}

TEST_P(TypeChangesTest, AppendedMembers) {
  const TypeChange change =
      OfOrder("long a; int b;", "long a; int b; int c; char *d;");
  EXPECT_EQ(change.verdict, TypeVerdict::kAppended);
  EXPECT_EQ(change.message,
            "struct order (16 -> 24 bytes): c (int, 4 bytes) is new at 12; d "
            "(char*, 8 bytes) is new at 16");
  EXPECT_EQ(change.members.size(), 2u);
}

TEST_P(TypeChangesTest, AMemberInTheMiddleThatFitsNowhere) {
  const TypeChange change =
      OfOrder("long a; long b;", "long a; long c; long b;");
  EXPECT_EQ(change.verdict, TypeVerdict::kChanged);
  EXPECT_EQ(change.advice,
            "move c behind all other members: then nothing else moves");
}

TEST_P(TypeChangesTest, MembersThatHaveOnlyGone) {
  const TypeChange change =
      OfOrder("long a; long b; long c;", "long a; long c;");
  EXPECT_EQ(change.verdict, TypeVerdict::kMembersRemoved);
  EXPECT_EQ(change.advice, "keep b: then nothing moves");
  EXPECT_THAT(change.message, HasSubstr("b (long int at 8) has gone"));
}

TEST_P(TypeChangesTest, AMemberThatTookTheOthersPlace) {
  const TypeChange change = OfOrder("long a; long b;", "long a; long c;");
  EXPECT_EQ(change.verdict, TypeVerdict::kChanged);
  EXPECT_EQ(change.advice, "keep b, and move c behind all other members");
}

TEST_P(TypeChangesTest, MembersThatChangedPlaces) {
  EXPECT_EQ(OfOrder("int a; int b;", "int b; int a;").verdict,
            TypeVerdict::kChanged);
}

TEST_P(TypeChangesTest, AMemberOfAnotherType) {
  EXPECT_EQ(OfOrder("int a;", "float a;").verdict, TypeVerdict::kChanged);
  EXPECT_EQ(OfOrder("long a;", "char *a;").verdict, TypeVerdict::kChanged);
  EXPECT_EQ(OfOrder("int *a;", "long *a;").verdict, TypeVerdict::kChanged);
  EXPECT_EQ(OfOrder("void (*a)(int);", "void (*a)(int, int);").verdict,
            TypeVerdict::kChanged);
  EXPECT_EQ(OfOrder("char a[8];", "char a[16];").verdict,
            TypeVerdict::kChanged);
  EXPECT_EQ(OfOrder("char a[2][8];", "char a[4][4];").verdict,
            TypeVerdict::kChanged);
  EXPECT_EQ(OfOrder("int n; char a[8];", "int n; char a[];").verdict,
            TypeVerdict::kChanged);
  // A value of 2 is no bool.
  EXPECT_EQ(OfOrder("uint8_t a;", "bool a;").verdict, TypeVerdict::kChanged);
}

TEST_P(TypeChangesTest, AMemberOfAnotherTypeWhoseValuesAreTheSameBytes) {
  for (const auto& types : std::vector<std::pair<const char*, const char*>>{
           {"bool a;", "uint8_t a;"},
           {"int a;", "unsigned a;"},
           {"enum color a;", "int a;"},
           {"char *a;", "const char *a;"},
           {"int a : 3; int b : 5;", "unsigned a : 3; int b : 5;"}}) {
    const TypeChange change = OfOrder(types.first, types.second);
    EXPECT_EQ(change.verdict, TypeVerdict::kCompatible) << change.message;
    EXPECT_THAT(change.message, HasSubstr("a was "));
  }
}

TEST_P(TypeChangesTest, BitFields) {
  EXPECT_EQ(OfOrder("int a : 3; int b : 5;", "int a : 3; int b : 6;").verdict,
            TypeVerdict::kChanged);
  const TypeChange moved =
      OfOrder("int a : 3; int b : 5;", "int c : 1; int a : 3; int b : 5;");
  EXPECT_EQ(moved.verdict, TypeVerdict::kChanged);
  EXPECT_THAT(moved.message, HasSubstr("b was at 0, bit 3, is at 0, bit 4"));
  EXPECT_EQ(OfOrder("int a : 3; int b : 5;", "int a : 3; int b : 5; int c : 2;")
                .verdict,
            TypeVerdict::kUsesPadding);
}

TEST_P(TypeChangesTest, UnionsAndNamelessMembers) {
  EXPECT_THAT(Told(Compare("union u { int a; char b[4]; } u;",
                           "union u { int a; char b[4]; float c; } u;")),
              ElementsAre("u: compatible"));
  EXPECT_THAT(
      Told(Compare("union u { int a; } u;", "union u { int a; long b; } u;")),
      ElementsAre("u: changed"));
  EXPECT_THAT(Told(Compare("struct s { union { int a; }; int b; } s;",
                           "struct s { union { int a; long c; }; int b; } s;")),
              UnorderedElementsAre("s: changed", "s::{nameless #1}: changed"));
}

TEST_P(TypeChangesTest, AStructureWithoutANameIsThatOfItsTypedef) {
  EXPECT_THAT(Told(Compare("typedef struct { int a; } pair; pair p;",
                           "typedef struct { int a; int b; } pair; pair p;")),
              ElementsAre("pair: members appended"));
  EXPECT_THAT(
      Told(Compare("struct { int a; } p;", "struct { int a; int b; } p;")),
      ElementsAre("{type of p}: members appended"));
}

TEST_P(TypeChangesTest, WhatHoldsATypeThatHasGrown) {
  const auto changes = Compare(
      "struct in { int a; }; struct out { struct in *p; struct in i[3]; "
      "struct out *o; } out;",
      "struct in { int a; int b; }; struct out { struct in *p; struct in i[3]; "
      "struct out *o; } out;");
  EXPECT_THAT(Told(changes),
              ElementsAre("in: members appended", "out: changed"));
  EXPECT_THAT(changes.back().message, HasSubstr("i was 12 bytes, is 24 bytes"));
}

TEST_P(TypeChangesTest, Enumerations) {
  const auto of = [](const char* was, const char* is) {
    const auto text = [](const char* enumerators) {
      return absl::StrCat("enum color { ", enumerators, " } color;");
    };
    const auto changes = Compare(text(was), text(is));
    EXPECT_EQ(changes.size(), 1u);
    return changes.size() == 1 ? changes[0] : TypeChange();
  };
  EXPECT_EQ(of("kRed, kBlue", "kRed, kBlue, kGreen").verdict,
            TypeVerdict::kCompatible);
  EXPECT_EQ(of("kRed, kBlue = 5", "kRed, kGreen, kBlue = 5").verdict,
            TypeVerdict::kCompatible);
  EXPECT_EQ(of("kRed = -1, kBlue", "kRed = -1, kBlue, kGreen = -7").verdict,
            TypeVerdict::kCompatible);
  const TypeChange moved = of("kRed, kBlue", "kRed, kGreen, kBlue");
  EXPECT_EQ(moved.verdict, TypeVerdict::kEnumeratorsMoved);
  EXPECT_EQ(moved.message,
            "enum color (4 bytes): kBlue was 1, is 2; kGreen = 1 is new");
  const TypeChange counted =
      of("kRed, kBlue, kColors", "kRed, kBlue, kGreen, kColors");
  EXPECT_EQ(counted.verdict, TypeVerdict::kEnumeratorsMoved);
  EXPECT_THAT(counted.advice, HasSubstr("if kColors only counts the others"));
  const TypeChange gone = of("kRed, kBlue, kGreen = 7", "kRed, kGreen = 7");
  EXPECT_EQ(gone.verdict, TypeVerdict::kMembersRemoved);
  EXPECT_EQ(gone.advice, "keep kBlue: objects may hold it");
  EXPECT_EQ(of("kRed, kBlue", "kRed, kBlue, kBig = 0x100000000").verdict,
            TypeVerdict::kChanged);
}  // namespace

TEST_P(TypeChangesTest, AnEnumerationWithoutANameIsThatOfItsFirstEnumerator) {
  EXPECT_THAT(Told(Compare("enum { kA, kB }; int f(int n) { return n == kB; }",
                           "enum { kA, kC, kB }; int f(int n) { return n == "
                           "kB; }")),
              ElementsAre("{enum kA}: enumerators moved"));
}

TEST_P(CxxTypeChangesTest, BasesAndVirtualFunctions) {
  const auto of = [](const std::string& was, const std::string& is) {
    return Told(Compare(was + " S s;", is + " S s;"));
  };
  const std::string bases = "struct A { int a; }; struct B { int b; }; ";
  EXPECT_THAT(of(bases + "struct S : A { int s; };",
                 bases + "struct S : A, B { int s; };"),
              ElementsAre("S: bases changed"));
  EXPECT_THAT(of(bases + "struct S : A, B { int s; };",
                 bases + "struct S : B, A { int s; };"),
              ElementsAre("S: bases changed"));
  EXPECT_THAT(of(bases + "struct S : A, B { int s; };",
                 bases + "struct S : A, virtual B { int s; };"),
              ElementsAre("S: bases changed"));
  EXPECT_THAT(of("struct A { int a; }; struct S : A { int s; };",
                 "struct A { int a; int c; }; struct S : A { int s; };"),
              ElementsAre("A: members appended", "S: bases changed"));
  EXPECT_THAT(of("struct S { virtual int F() { return 1; } int s; };",
                 "struct S { virtual int F() { return 1; } virtual int G() { "
                 "return 2; } int s; };"),
              ElementsAre("S: virtual functions changed"));
  EXPECT_THAT(of("struct S { virtual int F() { return 1; } virtual int G() { "
                 "return 2; } int s; };",
                 "struct S { virtual int G() { return 2; } virtual int F() { "
                 "return 1; } int s; };"),
              ElementsAre("S: virtual functions changed"));
  EXPECT_THAT(of("struct S { int F() { return 1; } int s; };",
                 "struct S { virtual int F() { return 1; } int s; };"),
              ElementsAre("S: virtual functions changed"));
  const std::string base = "struct A { virtual int F() { return 1; } }; ";
  EXPECT_THAT(of(base + "struct S : A { int s; };",
                 base + "struct S : A { int s; int F() override { return 2; } "
                        "};"),
              ElementsAre("S: virtual functions changed"));
  // Members are no virtual functions, nor are static ones members.
  EXPECT_THAT(of("struct S { int F() { return 1; } int s; };",
                 "struct S { int G() { return 1; } static int t; int s; };"),
              IsEmpty());
}

// Which lie behind the members of the class and of those that derive from it.
TEST_P(CxxTypeChangesTest, VirtualBasesThatMayHaveMoved) {
  const std::string base = "struct V { int v; }; ";
  const auto changes = Compare(
      base + "struct S : virtual V { int s; }; struct T : S { int t; } t;",
      base +
          "struct S : virtual V { int s; int r; }; "
          "struct T : S { int t; } t;");
  EXPECT_THAT(Told(changes),
              ElementsAre("S: bases changed", "T: bases changed"));
  EXPECT_THAT(changes[0].message,
              HasSubstr("its virtual bases may have moved"));
}

// const in the arguments of a template makes another class of it.
TEST_P(CxxTypeChangesTest, ConstCountsWhereItMakesAnotherType) {
  const std::string box =
      "template <typename T, typename U> struct Box { T t; U *u; }; ";
  EXPECT_THAT(
      Told(Compare(
          box + "struct S { Box<int, int> *b; } s; Box<int, int> b;",
          box + "struct S { const Box<int, int> *b; } s; Box<int, int> b;")),
      ElementsAre("S: compatible"));
  EXPECT_THAT(Told(Compare(box + "struct S { Box<int, int> b; } s;",
                           box + "struct S { Box<int, const int> b; } s;")),
              ElementsAre("S: changed"));
  EXPECT_THAT(Told(Compare(box + "struct S { Box<int, int> *b; } s;",
                           box + "struct S { Box<int, const int> *b; } s;")),
              ElementsAre("S: changed"));
}

TEST_P(CxxTypeChangesTest, HowAClassIsPassed) {
  const std::string plain = "struct S { int a; }; ";
  for (const std::string member :
       {"~S() {}", "S(); S(const S&) {} S(S&&) {}", "S(); S(S&) {}"}) {
    const auto changes =
        Compare(plain + "S s;", "struct S { int a; " + member + " }; S s;");
    EXPECT_THAT(Told(changes), ElementsAre("S: changed")) << member;
    EXPECT_THAT(changes[0].message, HasSubstr("is by its address"));
  }
  EXPECT_THAT(Told(Compare(plain + "struct T { S s; } t;",
                           "struct S { int a; ~S() {} }; "
                           "struct T { S s; } t;")),
              ElementsAre("S: changed", "T: changed"));
  for (const std::string member : {"S() {} S(int) {}", "S& operator=(S&);"}) {
    EXPECT_THAT(
        Compare(plain + "S s;", "struct S { int a; " + member + " }; S s;"),
        IsEmpty());
  }
}

TEST_P(CxxTypeChangesTest, NamesOfCxx) {
  const auto text = [](const char* member) {
    return absl::StrCat(R"(
      namespace shop {
      namespace { struct Hidden { int a; )",
                        member, R"( } hidden; }
      template <typename T> struct Pair { T a; )",
                        member, R"( };
      struct Site { struct Inner { int a; )",
                        member, R"( } *inner; };
      Pair<Site> pair;
      int Use(int n) {
        struct Local { int a; )",
                        member, R"( } local{};
        local.a = n;
        Pair<int> first = {n};
        return [local](int m) { return local.a + m; }(2) + hidden.a +
               first.a;
      }
      })");
  };
  EXPECT_THAT(Told(Compare(text(""), text("int b;"))),
              UnorderedElementsAre(
                  "shop::(anonymous namespace)::Hidden: members appended",
                  "shop::Pair<int>: members appended",
                  "shop::Pair<shop::Site>: members appended",
                  "shop::Site::Inner: members appended",
                  "shop::Use(int)::Local: members appended",
                  "shop::Use(int)::{lambda(int)#1}: changed"));
}

// Two objects, of which each has a struct of the same name.
TEST_P(TypeChangesTest, TypesOfOneName) {
  const auto compare = [](const std::vector<std::string>& was,
                          const std::vector<std::string>& is) {
    TypeSet sets[2];
    for (int i = 0; i < 2; ++i) {
      int number = 0;
      for (const std::string& source : i == 0 ? was : is) {
        const CompiledObject object(source, GetParam().suffix,
                                    GetParam().flags);
        EXPECT_TRUE(object.status().ok()) << object.status();
        sets[i].Add(*object, absl::StrCat("o", ++number, ".o"));
      }
    }
    return CompareTypes(sets[0], sets[1]);
  };
  const std::string a = "struct node { int a; } a;";
  const std::string b = "struct node { long b; } b;";
  const std::string c = "struct node { int a; int c; } a;";
  EXPECT_THAT(compare({a, b}, {a, b}), IsEmpty());
  EXPECT_THAT(Told(compare({a, a}, {c, c})),
              ElementsAre("node: members appended"));
  const auto ambiguous = compare({a, b}, {c, b});
  EXPECT_THAT(Told(ambiguous), ElementsAre("node: ambiguous"));
  EXPECT_THAT(ambiguous[0].objects, ElementsAre("o1.o"));
  EXPECT_THAT(ambiguous[0].message,
              HasSubstr("in the old build 4 bytes in o1.o; 8 bytes in o2.o"));
  // One of them was not compiled anew.
  EXPECT_THAT(Told(compare({a, a}, {c, a})), ElementsAre("node: ambiguous"));
  // The new object tells nothing new.
  EXPECT_THAT(compare({a}, {a, a}), IsEmpty());
  EXPECT_THAT(Told(compare({a}, {a, b})), ElementsAre("node: ambiguous"));
}

TEST(TypeSetTest, NamesWhatNoObjectDescribes) {
  const std::string header =
      "struct K { virtual void Key(); int a; }; struct Opaque;";
  const CompiledObject user(header + "int f(K& k, Opaque*) { return k.a; }",
                            ".cc", "-g");
  const CompiledObject definer(header + "void K::Key() {}", ".cc", "-g");
  ASSERT_TRUE(user.status().ok() && definer.status().ok());
  TypeSet types;
  types.Add(*user, "user.o");
  EXPECT_THAT(types.Undescribed(), ElementsAre("K", "Opaque"));
  types.Add(*definer, "definer.o");
  EXPECT_THAT(types.Undescribed(), ElementsAre("Opaque"));
  TypeSet declaring;
  declaring.Add(*user, "user.o");
  EXPECT_THAT(IncomparableTypes(declaring, types), ElementsAre("K"));
  EXPECT_THAT(IncomparableTypes(types, declaring), ElementsAre("K"));
  EXPECT_THAT(IncomparableTypes(types, types), IsEmpty());
}

TEST(TypeChangeTest, MessagesDoNotListEverything) {
  std::string was;
  std::string is;
  for (int i = 0; i < 20; ++i) {
    absl::StrAppend(&was, "int m", i, "; ");
    absl::StrAppend(&is, "long m", i, "; ");
  }
  const auto changes = Changes("struct s { " + was + "} s;",
                               "struct s { " + is + "} s;", ".c", "-g");
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_THAT(changes[0].message, HasSubstr("; and 12 more"));
  EXPECT_EQ(changes[0].members.size(), 20u);
}

}  // namespace
}  // namespace differ
}  // namespace instar
