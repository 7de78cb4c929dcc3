// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/type_users.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Functions(const TypeUseIndex& uses,
                                   absl::string_view type) {
  std::vector<std::string> told;
  for (const TypeUser& user : uses.FunctionsOf(type)) {
    told.push_back(
        absl::StrCat(user.linkage_name, user.is_direct ? "" : " (indirect)"));
  }
  return told;
}

std::vector<std::string> Variables(const TypeUseIndex& uses,
                                   absl::string_view type) {
  std::vector<std::string> told;
  for (const TypeHolder& holder : uses.VariablesOf(type)) {
    told.push_back(
        absl::StrCat(holder.name, holder.is_held ? "" : " (pointer)"));
  }
  return told;
}

class TypeUsersTest : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Flags, TypeUsersTest,
                         ::testing::Values("-O0 -g", "-O2 -g",
                                           "-O2 -gdwarf-4"));

TEST_P(TypeUsersTest, OfC) {
  const CompiledObject object(R"(
      struct item { int price; struct item *next; };
      struct list { struct item *first; int n; };
      struct shop { struct list lists[2]; };
      struct other { int a; };
      extern struct shop *elsewhere;
      struct item *find(int n);
      struct shop shop;
      static struct item items[3];
      static struct other other;
      void (*callback)(struct list *);
      int parameter(struct item *i) { return i->price; }
      int local(int n) { struct item i[2] = {{n}, {n + 1}}; return i[n].price; }
      int cast(int n) { return n; }
      int through(struct list *l) { return l->first->price; }
      int global(int n) { return shop.lists[n].first->price; }
      int declared(int n) { return elsewhere->lists[n].first->price; }
      int statically(int n) { return items[n].price++; }
      int called(int n) { return find(n)->price; }
      int none(int n) { return n + other.a++; }
      static inline __attribute__((always_inline)) int copied(int n) { volatile struct item i; i.price = n; return i.price; }
      int inlined(int n) { return copied(n) + none(n); }
      )",
                              ".c", GetParam());
  ASSERT_TRUE(object.status().ok()) << object.status();
  TypeUseIndex uses;
  uses.Add(*object, "o.o");
  EXPECT_THAT(Functions(uses, "item"),
              UnorderedElementsAre("parameter", "local", "through (indirect)",
                                   "global (indirect)", "declared (indirect)",
                                   "statically", "called", "inlined"));
  EXPECT_THAT(Functions(uses, "list"),
              UnorderedElementsAre("through", "global", "declared"));
  EXPECT_THAT(Functions(uses, "other"), ::testing::Contains("none"));
  EXPECT_THAT(Functions(uses, "nobody"), IsEmpty());
  EXPECT_THAT(
      Variables(uses, "item"),
      UnorderedElementsAre("items", "shop (pointer)", "callback (pointer)"));
  EXPECT_THAT(Variables(uses, "list"),
              UnorderedElementsAre("shop", "callback (pointer)"));
  for (const TypeUser& user : uses.FunctionsOf("item")) {
    EXPECT_EQ(object.file().sections()[user.place.section].name,
              absl::StrCat(".text.", user.linkage_name));
  }
}

TEST_P(TypeUsersTest, OfCxx) {
  const CompiledObject object(R"(
      namespace shop {
      struct Price { int cents; };
      struct Base { Price price; virtual ~Base(); };
      struct Item : Base { Item* next; int Cost() const; } item;
      struct Unrelated { int a; };
      template <typename T> struct Box { T* held; T& Get() { return *held; } };
      Base::~Base() = default;
      int Item::Cost() const { return price.cents; }
      int Templated(Box<Price>& box) { return box.Get().cents; }
      int Captured(Price price) {
        auto cost = [price](int n) { return price.cents + n; };
        return cost(2);
      }
      int Plain(Unrelated* u) { return u->a; }
      enum class Color { kRed };
      int Painted(Color color) { return static_cast<int>(color); }
      Price* last;
      int Last() { return last->cents; }
      })",
                              ".cc", GetParam());
  ASSERT_TRUE(object.status().ok()) << object.status();
  TypeUseIndex uses;
  uses.Add(*object, "o.o");
  const auto functions = Functions(uses, "shop::Price");
  EXPECT_THAT(
      functions,
      ::testing::IsSupersetOf(
          {"_ZNK4shop4Item4CostEv", "_ZN4shop9TemplatedERNS_3BoxINS_5PriceEEE",
           "_ZN4shop8CapturedENS_5PriceE", "_ZN4shop4LastEv"}));
  EXPECT_THAT(
      functions,
      ::testing::Not(::testing::Contains("_ZN4shop5PlainEPNS_9UnrelatedE")));
  EXPECT_THAT(Functions(uses, "shop::Color"),
              UnorderedElementsAre("_ZN4shop7PaintedENS_5ColorE"));
  EXPECT_THAT(Variables(uses, "shop::Price"),
              UnorderedElementsAre("shop::item", "shop::last (pointer)"));
}

// A class is described where its table of virtual functions is: users elsewhere
// only declare it.
TEST(TypeUseIndexTest, FollowsWhatOtherObjectsDescribe) {
  const std::string header =
      "struct Price { int cents; }; struct Item { virtual void Key(); Price* "
      "price; int Cost(); };";
  const CompiledObject user(
      header + "int Item::Cost() { return price->cents; }", ".cc", "-g -O2");
  const CompiledObject definer(header + "void Item::Key() {}", ".cc", "-g -O2");
  ASSERT_TRUE(user.status().ok() && definer.status().ok());
  TypeUseIndex alone;
  alone.Add(*user, "user.o");
  EXPECT_THAT(Functions(alone, "Price"), IsEmpty());
  alone.Add(*definer, "definer.o");
  EXPECT_THAT(Functions(alone, "Price"),
              UnorderedElementsAre("_ZN4Item4CostEv (indirect)",
                                   "_ZN4Item3KeyEv (indirect)"));
  EXPECT_EQ(alone.FunctionsOf("Price").front().object, "user.o");
}

}  // namespace
}  // namespace differ
}  // namespace instar
