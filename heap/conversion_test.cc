// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/conversion.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/internal/version_change.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// The paper's listing of eager conversion: class FooV2, eager_update_class.
namespace paper {
struct Foo : Updatable<Foo> {
  int value = 1;
};
struct FooV2 : Foo {
  explicit FooV2(Foo&& old) noexcept : Foo(std::move(old)) {}
  void Convert() { mark = value + 41; }
  int mark = 0;
};
}  // namespace paper

TEST(ConversionTest, EagerUpdateOfThePaper) {
  auto a = std::make_unique<paper::Foo>();
  auto b = std::make_unique<paper::Foo>();
  paper::Foo* address = a.get();
  int& reference = a->value;
  ASSERT_TRUE((ConvertAll<paper::Foo, paper::FooV2>()).ok());
  EXPECT_EQ(a.get(), address);
  EXPECT_EQ(&reference, &a->value);
  ASSERT_NE(version_cast<paper::FooV2>(a.get()), nullptr);
  EXPECT_EQ(version_cast<paper::FooV2>(b.get())->mark, 42);
}

// A class with all that makes moving hard; objects that refer to each other.
struct Node : Updatable<Node> {
  explicit Node(std::string n) : name(std::move(n)) {}
  virtual std::string Describe() const { return "old " + name; }
  std::string name;
  std::vector<int> numbers{1, 2, 3};
  alignas(32) char wide[32] = "wide";
  std::shared_ptr<Node> next;
  Node* back = nullptr;
};
struct Tag {
  virtual ~Tag() { ++ended; }
  std::unique_ptr<int> own = std::make_unique<int>(7);
  static inline int ended = 0;
};
struct NodeV2 : Node {
  explicit NodeV2(Node&& old) noexcept : Node(std::move(old)) {}
  std::string Describe() const override { return "new " + name; }
  std::unique_ptr<Tag> extra = std::make_unique<Tag>();
};

TEST(ConversionTest, PointersReferencesAndIteratorsStayRight) {
  std::map<std::string, std::unique_ptr<Node>> map;
  std::vector<std::unique_ptr<Node>> vector;
  for (int i = 0; i < 100; ++i) {
    vector.push_back(std::make_unique<Node>("v" + std::to_string(i)));
    map["m" + std::to_string(i)] =
        std::make_unique<Node>("a name too long for the string's own buffer");
  }
  std::shared_ptr<Node> ring(new Node("first"));
  ring->next = std::shared_ptr<Node>(new Node("second"));
  ring->next->next = ring;  // a cycle
  ring->back = vector[3].get();
  Node* plain = vector[5].get();
  std::string& name = plain->name;
  const int* number = plain->numbers.data();
  auto position = map.find("m7");

  const int ended = Tag::ended;
  auto step = EagerConversion<Node, NodeV2>();
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_EQ(step->name(),
            "instar::(anonymous namespace)::Node -> "
            "instar::(anonymous namespace)::NodeV2, eagerly");

  EXPECT_EQ(plain->Describe(), "new v5");
  EXPECT_EQ(name, "v5");
  EXPECT_EQ(plain->numbers.data(), number);
  EXPECT_EQ(position->second->name,
            "a name too long for the string's own buffer");
  EXPECT_EQ(ring->next->next, ring);
  EXPECT_EQ(ring->back->Describe(), "new v3");
  EXPECT_STREQ(plain->wide, "wide");
  EXPECT_THAT(plain->numbers, ElementsAre(1, 2, 3));
  EXPECT_EQ(step->Counts().by_version[1].second, 202u);

  // Old code destroys a new object properly.
  vector.pop_back();
  EXPECT_EQ(Tag::ended, ended + 1);

  ASSERT_TRUE(step->Undo().ok());
  EXPECT_EQ(plain->Describe(), "old v5");
  EXPECT_EQ(name, "v5");
  EXPECT_EQ(plain->numbers.data(), number);
  EXPECT_EQ(Tag::ended, ended + 202);
  EXPECT_EQ(step->Counts().by_version.size(), 1u);
  EXPECT_EQ(step->Counts().by_version[0].second, 201u);

  // The same step can be applied again.
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_EQ(plain->Describe(), "new v5");
  ASSERT_TRUE(step->Undo().ok());
  ring->next->next.reset();
}

struct Base2 {
  virtual ~Base2() = default;
  virtual int Two() const { return 2; }
  int two = 22;
};
struct Multiple : Updatable<Multiple>, Base2 {
  int one = 11;
};
struct Base3 {
  virtual ~Base3() = default;
  int three = 33;
};
struct MultipleV2 : Multiple, Base3 {
  explicit MultipleV2(Multiple&& old) noexcept : Multiple(std::move(old)) {}
  int Two() const override { return 3; }
};

TEST(ConversionTest, MultipleInheritanceKeepsEveryBaseInItsPlace) {
  auto object = std::make_unique<Multiple>();
  Base2* second = object.get();
  ASSERT_TRUE((ConvertAll<Multiple, MultipleV2>()).ok());
  EXPECT_EQ(second, static_cast<Base2*>(object.get()));
  EXPECT_EQ(second->Two(), 3);
  EXPECT_EQ(second->two, 22);
  EXPECT_EQ(dynamic_cast<Base3&>(*second).three, 33);
}

template <typename Item>
struct Box : Updatable<Box<Item>> {
  Item item{};
};
template <typename Item>
struct BoxV2 : Box<Item> {
  explicit BoxV2(Box<Item>&& old) noexcept : Box<Item>(std::move(old)) {}
};

TEST(ConversionTest, TemplatesAreConvertedEachForItself) {
  auto a = std::make_unique<Box<int>>();
  auto b = std::make_unique<Box<std::string>>();
  b->item = "text";
  ASSERT_TRUE((ConvertAll<Box<std::string>, BoxV2<std::string>>()).ok());
  EXPECT_EQ(version_cast<BoxV2<int>>(a.get()), nullptr);
  ASSERT_NE(version_cast<BoxV2<std::string>>(b.get()), nullptr);
  EXPECT_EQ(b->item, "text");
}

struct Parent : Updatable<Parent> {
  int value = 1;
};
struct ParentV2 : Parent {
  explicit ParentV2(Parent&& old) noexcept : Parent(std::move(old)) {}
};
struct Child : Parent {
  std::string text = "child";
};
struct SameSizeChild : Parent {};
struct ChildV2 : Child {
  explicit ChildV2(Child&& old) noexcept : Child(std::move(old)) {}
  int more = 9;
};

TEST(ConversionTest, SubclassesAreCountedAndConvertedByTheirOwn) {
  auto parent = std::make_unique<Parent>();
  std::unique_ptr<Parent> child = std::make_unique<Child>();
  std::unique_ptr<Parent> same = std::make_unique<SameSizeChild>();
  auto step = EagerConversion<Parent, ParentV2>();
  const auto forecast = step->Check();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->objects, 3u);
  EXPECT_EQ(forecast->of_subclasses, 2u);
  EXPECT_THAT(forecast->remarks,
              testing::Contains(HasSubstr("of the subclass instar::(anonymous "
                                          "namespace)::Child")));
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_NE(version_cast<ParentV2>(parent.get()), nullptr);
  EXPECT_EQ(version_cast<ParentV2>(child.get()), nullptr);
  EXPECT_EQ(version_cast<ParentV2>(same.get()), nullptr);

  ASSERT_TRUE((ConvertAll<Child, ChildV2>()).ok());
  ASSERT_NE(version_cast<ChildV2>(child.get()), nullptr);
  EXPECT_EQ(version_cast<ChildV2>(child.get())->text, "child");
  EXPECT_EQ(version_cast<ChildV2>(child.get())->more, 9);
  const ObjectCounts counts = WeakObjectPool<Parent>().Counts();
  EXPECT_EQ(counts.OfVersion("instar::(anonymous namespace)::ParentV2"), 1u);
  EXPECT_EQ(counts.OfVersion("instar::(anonymous namespace)::ChildV2"), 1u);
  EXPECT_THAT(
      counts.subclasses,
      ElementsAre(Pair("instar::(anonymous namespace)::SameSizeChild", 1u)));
  int parents = 0, children = 0;
  WeakObjectPool<Parent>().ForEach([&](Parent&) { ++parents; });
  WeakObjectPool<Child>().ForEach([&](Child&) { ++children; });
  EXPECT_EQ(parents, 1);
  EXPECT_EQ(children, 1);
  // What ParentV2 is taken back from leaves the others alone.
  ASSERT_TRUE(step->Undo().ok());
  EXPECT_NE(version_cast<ChildV2>(child.get()), nullptr);
}

struct Site : Updatable<Site> {
  int value = 3;
  int spare = 0;
  friend bool operator==(const Site& a, const Site& b) {
    return a.value == b.value;
  }
};
struct SiteV2 : Site {  // as large as Site: it renames a member
  explicit SiteV2(Site&& old) noexcept : Site(std::move(old)) {}
  void Convert() { spare = 10 * value; }
};
struct SiteV3 : SiteV2 {
  explicit SiteV3(SiteV2&& old) noexcept : SiteV2(std::move(old)) {}
  int mark = 8;
};
Site global_site;
struct City : Updatable<City> {
  Site site;
};

TEST(ConversionTest, ObjectsElsewhereAreConvertedIfTheyFit) {
  Site local;
  std::vector<Site> vector(2);
  auto shared = std::make_shared<Site>();
  auto city = std::make_unique<City>();
  auto pooled = std::make_unique<Site>();

  auto step = EagerConversion<Site, SiteV2>();
  const auto forecast = step->Check();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->automatic, 1u);
  EXPECT_EQ(forecast->cannot_grow, 0u);
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_EQ(local.spare, 0);  // a local variable keeps its version
  for (Site* site : {&global_site, &vector[0], &vector[1], shared.get(),
                     &city->site, pooled.get()}) {
    EXPECT_EQ(site->spare, 30);
  }
  ObjectCounts counts = WeakObjectPool<Site>().Counts();
  EXPECT_EQ(counts.outside, 6u);
  EXPECT_EQ(counts.automatic, 1u);

  // The version after that is larger: named, and refused.
  auto larger = EagerConversion<SiteV2, SiteV3>();
  const absl::Status refused = larger->Check().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(refused.message()),
      testing::AllOf(HasSubstr("5 objects were not made by `new`"),
                     HasSubstr("a part of an object of"), HasSubstr("City"),
                     HasSubstr("a static variable in ")))
      << refused;
  // Or left behind, if the author says so.
  ConversionOptions options;
  options.leave_what_cannot_grow = true;
  auto leaving = EagerConversion<SiteV2, SiteV3>(options);
  ASSERT_TRUE(leaving->Prepare().ok());
  ASSERT_TRUE(leaving->Apply().ok());
  EXPECT_EQ(version_cast<SiteV3>(pooled.get())->mark, 8);
  EXPECT_EQ(version_cast<SiteV3>(&vector[0]), nullptr);
  ASSERT_TRUE(leaving->Undo().ok());
  ASSERT_TRUE(step->Undo().ok());
  EXPECT_EQ(pooled->value, 3);
  // A converted object that old code copies: the copy is an old object.
  EXPECT_EQ(*pooled, *shared);
}

// Members of updatable classes, before and after.
struct Leaf : Updatable<Leaf> {
  std::string text = "leaf";
};
struct Tree : Updatable<Tree, 64> {
  Leaf leaf;
};
struct TreeV2 : Tree {
  explicit TreeV2(Tree&& old) noexcept : Tree(std::move(old)) {}
  Leaf another;
};

TEST(ConversionTest, MembersOfUpdatableClassesAreTrackedThroughout) {
  auto tree = std::make_unique<Tree>();
  auto step = EagerConversion<Tree, TreeV2>();
  EXPECT_EQ(WeakObjectPool<Leaf>().Counts().outside, 1u);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(step->Prepare().ok());
    ASSERT_TRUE(step->Apply().ok());
    EXPECT_EQ(tree->leaf.text, "leaf");
    EXPECT_EQ(WeakObjectPool<Leaf>().Counts().outside, 2u);
    EXPECT_EQ(WeakObjectPool<Leaf>().Counts().automatic, 0u);
    ASSERT_TRUE(step->Undo().ok());
    EXPECT_EQ(WeakObjectPool<Leaf>().Counts().outside, 1u);
  }
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  tree.reset();
  EXPECT_EQ(WeakObjectPool<Leaf>().Counts().Total(), 0u);
  EXPECT_EQ(WeakObjectPool<Tree>().Counts().Total(), 0u);
}

struct Large : Updatable<Large> {
  char bytes[50000] = "large";
};
struct LargeV2 : Large {
  explicit LargeV2(Large&& old) noexcept : Large(std::move(old)) {}
  int more = 4;
};

TEST(ConversionTest, ObjectsTooLargeForSlabsGrowTheSame) {
  auto object = std::make_unique<Large>();
  ASSERT_TRUE((ConvertAll<Large, LargeV2>()).ok());
  ASSERT_NE(version_cast<LargeV2>(object.get()), nullptr);
  EXPECT_EQ(version_cast<LargeV2>(object.get())->more, 4);
  EXPECT_STREQ(object->bytes, "large");
}

// What old code, compiled for Copied, does with a converted object: it takes
// the old part alone.
struct Copied : Updatable<Copied> {
  int value = 1;
};
struct CopiedV2 : Copied {
  explicit CopiedV2(Copied&& old) noexcept : Copied(std::move(old)) {}
  void Convert() { mark = 5; }
  int mark = 0;
};

TEST(ConversionTest, OldCodeCopiesAndAssignsTheOldPartOnly) {
  auto a = std::make_unique<Copied>();
  auto b = std::make_unique<Copied>();
  auto step = EagerConversion<Copied, CopiedV2>();
  const auto forecast = step->Check();
  ASSERT_TRUE(forecast.ok());
  EXPECT_THAT(forecast->remarks,
              testing::Contains(HasSubstr("copies, moves and assigns only")));
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  version_cast<CopiedV2>(a.get())->mark = 99;
  a->value = 2;
  *b = *a;
  EXPECT_EQ(b->value, 2);
  EXPECT_EQ(version_cast<CopiedV2>(b.get())->mark, 5);  // its own
  auto copy = std::make_unique<Copied>(*a);
  EXPECT_EQ(version_cast<CopiedV2>(copy.get()), nullptr);
  auto moved = std::make_unique<Copied>(std::move(*a));
  EXPECT_EQ(version_cast<CopiedV2>(moved.get()), nullptr);
  std::swap(*a, *b);
  EXPECT_EQ(version_cast<CopiedV2>(a.get())->mark, 99);  // kept
  // Each element that a vector moves when it grows is an old object again.
  std::vector<Copied> grown;
  grown.push_back(std::move(*b));
  grown.resize(10);
  EXPECT_EQ(grown[0].value, 2);
  EXPECT_EQ(version_cast<CopiedV2>(&grown[0]), nullptr);
  ASSERT_TRUE(step->Undo().ok());
}

// A class that can only be moved is moved by old code in the same way.
struct OnlyMoved : Updatable<OnlyMoved> {
  OnlyMoved() = default;
  OnlyMoved(OnlyMoved&&) = default;
  OnlyMoved& operator=(OnlyMoved&&) = default;
  std::unique_ptr<int> value;
};
struct OnlyMovedV2 : OnlyMoved {
  explicit OnlyMovedV2(OnlyMoved&& old) noexcept : OnlyMoved(std::move(old)) {}
};

TEST(ConversionTest, TheCheckWarnsOfMovesToo) {
  const auto forecast = EagerConversion<OnlyMoved, OnlyMovedV2>()->Check();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->remarks,
              testing::Contains(HasSubstr("copies, moves and assigns only")));
}

}  // namespace
}  // namespace instar
