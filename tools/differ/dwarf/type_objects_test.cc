// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where objects of types that have changed may be.

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/type_changes.h"
#include "tools/differ/dwarf/type_changes_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::ElementsAre;

TypeChange OfOrderUsedIn(const std::string& use, const Compiled& how) {
  for (const TypeChange& change : Changes(
           "struct order { int a; }; " + use,
           "struct order { int a; int b; }; " + use, how.suffix, how.flags)) {
    if (change.name == "order") return change;
  }
  ADD_FAILURE() << use;
  return TypeChange();
}

class TypeObjectsTest : public ::testing::TestWithParam<Compiled> {};
class CxxTypeObjectsTest : public TypeObjectsTest {};

INSTANTIATE_TEST_SUITE_P(Flags, CxxTypeObjectsTest,
                         ::testing::Values(Compiled{".cc", "-O0 -gdwarf-4"},
                                           Compiled{".cc", "-O2 -g"}));

INSTANTIATE_TEST_SUITE_P(Flags, TypeObjectsTest,
                         ::testing::Values(Compiled{".c", "-O0 -g"},
                                           Compiled{".c", "-O2 -gdwarf-4"},
                                           Compiled{".cc", "-O2 -g"}));

TEST_P(TypeObjectsTest, WhereObjectsMayBe) {
  const TypeChange variable = OfOrderUsedIn(
      "struct list { struct order all[3]; }; static struct list list; "
      "int f(int n) { return list.all[n].a++; }",
      GetParam());
  EXPECT_THAT(variable.variables, ElementsAre("list"));
  EXPECT_FALSE(variable.is_on_stacks_only());
  const TypeChange pointer =
      OfOrderUsedIn("int f(struct order *o) { return o->a; }", GetParam());
  EXPECT_TRUE(pointer.is_pointed_to);
  EXPECT_FALSE(pointer.is_on_stacks_only());
  const TypeChange held = OfOrderUsedIn(
      "struct list { struct order all[3]; }; "
      "int f(struct list *l) { return l->all[0].a; }",
      GetParam());
  EXPECT_TRUE(held.is_pointed_to);
  const TypeChange local = OfOrderUsedIn(
      "int f(int n) { volatile struct order o; o.a = n; return o.a; }",
      GetParam());
  EXPECT_TRUE(local.is_on_stacks_only());
  const TypeChange passed = OfOrderUsedIn(
      "struct order make(int n) { struct order o = {n}; return o; } "
      "int f(int n) { return make(n).a; }",
      GetParam());
  EXPECT_TRUE(passed.is_passed_by_value);
  EXPECT_FALSE(passed.is_on_stacks_only());
}

TEST_P(CxxTypeObjectsTest, WhatIsThrownIsNotOnlyOnStacks) {
  const TypeChange change = OfOrderUsedIn(
      "int f(int n) { order o{n}; if (n) throw o; return 0; }", GetParam());
  EXPECT_TRUE(change.is_thrown);
  EXPECT_FALSE(change.is_on_stacks_only());
}

// There is no variable, and nobody knows where the memory is from.
TEST(TypeChangeTest, WhatIsOnlyCastToIsNotOnlyOnStacks) {
  EXPECT_FALSE(
      OfOrderUsedIn("int f(void *p) { return ((struct order *)p)->a; }",
                    Compiled{".c", "-O2 -g"})
          .is_on_stacks_only());
  const char* const temporary =
      "int f(void *p) { return static_cast<order*>(p)->a; } "
      "int g(int n) { throw order{n}; }";
  const TypeChange change = OfOrderUsedIn(
      temporary, Compiled{".cc", "-O2 -g -fno-eliminate-unused-debug-types"});
  EXPECT_FALSE(change.is_on_stacks_only());
}

}  // namespace
}  // namespace differ
}  // namespace instar
