// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/signatures.h"

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
using ::testing::IsSupersetOf;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Told(const std::vector<FunctionSignature>& all) {
  std::vector<std::string> told;
  for (const FunctionSignature& signature : all) {
    told.push_back(ToString(signature));
  }
  return told;
}

class SignaturesTest : public ::testing::TestWithParam<const char*> {};

TEST_P(SignaturesTest, OfC) {
  const CompiledObject object(R"(
      #include <stdarg.h>
      #include <stdlib.h>
      typedef unsigned long size;
      typedef struct { int a; } pair;
      typedef struct node node_t;
      enum color { red };
      union u { int i; };
      size Length(const char *restrict text, const int limit) { return text[limit]; }
      int Print(const char *format, ...) { return *format; }
      pair Make(enum color c, union u *u) { pair p = { u->i + c }; return p; }
      const node_t *Next(node_t *const *all, int table[3][4]) { return all[table[1][2]]; }
      int (*Choose(int (*f)(node_t *, void *), int n))(node_t *, void *) { return n ? f : 0; }
      _Noreturn void Die(void) { abort(); }
      _Bool Flag(volatile int *v, va_list *list) { return *v && list; }
      __attribute__((noinline)) static int Local(int a, int unused, double b) { return a + (int)b; }
      int Use(int n) { return Local(n, 1, 2.0); })",
                              ".c", GetParam());
  ASSERT_TRUE(object.status().ok()) << object.status();
  const auto signatures = SignaturesOf(*object);
  EXPECT_THAT(Told(signatures),
              UnorderedElementsAre(
                  "long unsigned int Length(char const*, int)",
                  "int Print(char const*, ...)", "pair Make(color, u*)",
                  "node const* Next(node* const*, int[4]*)",
                  "int(node*, void*)* Choose(int(node*, void*)*, int)",
                  "[[noreturn]] void Die()",
                  "_Bool Flag(int volatile*, __va_list_tag[1]*)",
                  "int Local(int, int, double)", "int Use(int)"));
  for (const FunctionSignature& signature : signatures) {
    EXPECT_TRUE(signature.is_unmangled);
    EXPECT_EQ(signature.is_external, signature.name != "Local");
    EXPECT_THAT(signature.linkage_name, StartsWith(signature.name));
    EXPECT_EQ(signature.name == "Print", signature.is_variadic);
    EXPECT_GT(signature.line, 0);
  }
}

TEST_P(SignaturesTest, OfCxx) {
  const CompiledObject object(R"(
      namespace shop {
      struct Item { int price; virtual ~Item(); virtual int Price(int) const; };
      Item::~Item() = default;
      int Item::Price(int n) const { return price * n; }
      template <typename T> T Twice(T&& value) { return value + value; }
      int Use(const Item& item, int Item::*member, int (Item::*function)(int) const) {
        return Twice(3) + item.*member + (item.*function)(1);
      }
      __attribute__((noinline)) static int Local(bool b) { return b ? 3 : 4; }
      int UseLocal(bool b) { return Local(b); }
      }
      extern "C" int Plain(shop::Item* item) { return item->price; }
      extern "C" [[noreturn]] void Stop() { __builtin_abort(); })",
                              ".cc", GetParam());
  ASSERT_TRUE(object.status().ok()) << object.status();
  const auto signatures = SignaturesOf(*object);
  EXPECT_THAT(Told(signatures),
              IsSupersetOf({"int shop::Item::Price(int) const",
                            "void shop::Item::~Item()",
                            "int shop::Use(shop::Item const&, int "
                            "shop::Item::*, int(int) shop::Item::*)",
                            "int shop::Local(bool)", "int Plain(shop::Item*)",
                            "[[noreturn]] void Stop()"}));
  for (const FunctionSignature& signature : signatures) {
    const bool is_unmangled =
        signature.name == "Plain(shop::Item*)" || signature.name == "Stop()";
    EXPECT_EQ(signature.is_unmangled, is_unmangled) << signature.linkage_name;
    if (signature.name == "shop::Local(bool)") {
      EXPECT_FALSE(signature.is_external);
      EXPECT_EQ(signature.linkage_name, "_ZN4shopL5LocalEb");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Flags, SignaturesTest,
                         ::testing::Values("-O0 -g", "-O2 -g",
                                           "-O2 -gdwarf-4"));

TEST(SignaturesTest, OfCTellsApartWhatTheNameDoesNot) {
  const auto of = [](const char* source) {
    const CompiledObject object(source, ".c", "-O2 -g");
    EXPECT_TRUE(object.status().ok()) << object.status();
    const auto signatures = SignaturesOf(*object);
    return signatures.size() == 1 ? ToString(signatures.front()) : "";
  };
  const std::string was = of("int f(int a, char *b) { return a + *b; }");
  EXPECT_NE(was, of("int f(char *b, int a) { return a + *b; }"));
  EXPECT_NE(was, of("int f(int a, char *b, int c) { return a + *b + c; }"));
  EXPECT_NE(was, of("long f(int a, char *b) { return a + *b; }"));
  EXPECT_EQ(of("int f(const volatile int *a) { return *a; }"),
            "int f(int const volatile*)");
  EXPECT_EQ(was,
            of("typedef char byte; typedef int number;\n"
               "number f(const number count, byte *b) { return count + *b; }"));
}

TEST(SignaturesTest, WhatACallerGoesBy) {
  const auto of = [](const std::string& source, const char* suffix) {
    const CompiledObject object(source, suffix, "-O2 -g");
    EXPECT_TRUE(object.status().ok()) << object.status();
    const auto signatures = SignaturesOf(*object);
    EXPECT_EQ(signatures.size(), 1u);
    return signatures.empty() ? FunctionSignature() : signatures.front();
  };
  const auto may_call_c = [&](const char* was, const char* is) {
    return MayCallAs(of(was, ".c"), of(is, ".c"));
  };
  EXPECT_TRUE(may_call_c("int f(char *s) { return *s; }",
                         "int f(const char *const s) { return *s; }"));
  EXPECT_TRUE(may_call_c("char *f(char **s) { return *s; }",
                         "const char *f(char *const *s) { return *s; }"));
  EXPECT_FALSE(may_call_c("int f(int a) { return a; }",
                          "int f(int a, int b) { return a + b; }"));
  EXPECT_FALSE(may_call_c("int f(int a) { return a; }",
                          "int f(int a, ...) { return a; }"));
  // A result that a caller does not know of.
  const char* const none = "void f(int a) { (void)a; }";
  EXPECT_TRUE(may_call_c(none, "int f(int a) { return a; }"));
  EXPECT_TRUE(may_call_c(none, "double f(int a) { return a; }"));
  EXPECT_TRUE(may_call_c(none, "void *f(int a) { return a ? f : 0; }"));
  EXPECT_FALSE(may_call_c("int f(int a) { return a; }", none));
  EXPECT_FALSE(may_call_c(none, "long double f(int a) { return a; }"));
  EXPECT_FALSE(
      may_call_c(none,
                 "struct s { int b[9]; };\n"
                 "struct s f(int a) { struct s r = {{a}}; return r; }"));
  // One that returns.
  const char* const endless = "_Noreturn void f(int a) { for (;;) a++; }";
  EXPECT_TRUE(may_call_c(none, endless));
  EXPECT_FALSE(may_call_c(endless, none));
  // In C++ the name tells the parameters, and not whether there is an object.
  const auto may_call = [&](const char* was, const char* is) {
    return MayCallAs(of(was, ".cc"), of(is, ".cc"));
  };
  const char* const member =
      "struct S { int f(int); }; int S::f(int a) { return a; }";
  const char* const of_class =
      "struct S { static int f(int); }; int S::f(int a) { return a; }";
  EXPECT_TRUE(may_call(member, member));
  EXPECT_FALSE(may_call(member, of_class));
  EXPECT_FALSE(may_call(of_class, member));
}

TEST(SignaturesTest, AColdPartBelongsToItsFunction) {
  const CompiledObject object(R"(
      __attribute__((cold)) void Complain(int);
      int Sell(int n) {
        if (__builtin_expect(n < 0, 0)) { Complain(n); Complain(n + 1); }
        return n * 3;
      })",
                              ".c", "-O2 -g");
  ASSERT_TRUE(object.status().ok()) << object.status();
  const auto signatures = SignaturesOf(*object);
  ASSERT_EQ(signatures.size(), 1u);
  EXPECT_EQ(signatures[0].linkage_name, "Sell");
  ASSERT_EQ(signatures[0].code.size(), 2u);
  EXPECT_EQ(signatures[0].place.section, object.SectionOf(".text.Sell"));
  EXPECT_EQ(signatures[0].code[1].begin.section,
            object.SectionOf(".text.unlikely.Sell"));
}

}  // namespace
}  // namespace differ
}  // namespace instar
