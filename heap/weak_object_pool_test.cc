// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/weak_object_pool.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/conversion.h"
#include "heap/updatable.h"

namespace instar {
namespace pool_test {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

template <int kNumber>
struct Item : Updatable<Item<kNumber>> {
  explicit Item(int n = 0) : number(n) {}
  int number;
};
template <int kNumber>
struct ItemV2 : Item<kNumber> {
  explicit ItemV2(Item<kNumber>&& old) noexcept
      : Item<kNumber>(std::move(old)) {}
};
template <int kNumber>
struct ItemV3 : ItemV2<kNumber> {
  explicit ItemV3(ItemV2<kNumber>&& old) noexcept
      : ItemV2<kNumber>(std::move(old)) {}
};

// The numbers of those that are visited, in order.
template <typename T>
std::vector<int> Visited() {
  std::vector<int> numbers;
  WeakObjectPool<T>().ForEach([&](T& item) { numbers.push_back(item.number); });
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

template <typename Old, typename New>
std::unique_ptr<ConversionStep> Convert() {
  auto step = EagerConversion<Old, New>();
  EXPECT_EQ(step->Prepare(), absl::OkStatus());
  EXPECT_EQ(step->Apply(), absl::OkStatus());
  return step;
}

TEST(ObjectCountsTest, Sums) {
  ObjectCounts counts;
  EXPECT_EQ(counts.Total(), 0u);
  counts.by_version = {{"A", 1}, {"A2", 20}};
  counts.subclasses = {{"B", 300}};
  counts.being_converted = 4000;
  counts.untracked = 50000;
  // Of those.
  counts.failed = 1;
  counts.outside = 2;
  counts.automatic = 1;
  EXPECT_EQ(counts.Total(), 54321u);
  EXPECT_EQ(counts.OfVersion("A2"), 20u);
  EXPECT_EQ(counts.OfVersion("B"), 0u);
}

TEST(WeakObjectPoolTest, OfNoObjects) {
  const ObjectCounts counts = WeakObjectPool<Item<1>>().Counts();
  EXPECT_EQ(counts.class_name, "instar::pool_test::Item<1>");
  EXPECT_THAT(counts.by_version,
              ElementsAre(Pair("instar::pool_test::Item<1>", 0u)));
  EXPECT_EQ(counts.Total(), 0u);
  EXPECT_THAT(Visited<Item<1>>(), IsEmpty());
}

TEST(WeakObjectPoolTest, EachOnceWhereverItWasMade) {
  struct Holder {
    Item<2> item{1};
  };
  static Item<2>* const leaked = new Item<2>(0);
  const auto holder = std::make_unique<Holder>();
  const Item<2> local(2);
  std::vector<Item<2>> elements;
  elements.reserve(2);
  elements.emplace_back(3);
  elements.emplace_back(4);
  const auto shared = std::make_shared<Item<2>>(5);
  const std::unique_ptr<Item<2>[]> array(new Item<2>[1]);
  array[0].number = 6;
  const auto copy = std::make_unique<Item<2>>(local);
  copy->number = 7;
  EXPECT_THAT(Visited<Item<2>>(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  const ObjectCounts counts = WeakObjectPool<Item<2>>().Counts();
  EXPECT_EQ(counts.OfVersion("instar::pool_test::Item<2>"), 8u);
  EXPECT_EQ(counts.Total(), 8u);
  EXPECT_EQ(counts.outside, 6u);
  EXPECT_EQ(counts.automatic, 1u);
  EXPECT_EQ(leaked->number, 0);
}

TEST(WeakObjectPoolTest, KeepsNoneAlive) {
  auto item = std::make_unique<Item<3>>(1);
  const WeakObjectPool<Item<3>> pool;
  EXPECT_EQ(pool.Counts().Total(), 1u);
  item.reset();
  EXPECT_EQ(pool.Counts().Total(), 0u);
  EXPECT_THAT(Visited<Item<3>>(), IsEmpty());
}

struct Toy : Item<4> {
  using Item::Item;
};
struct Sold {
  virtual ~Sold() = default;
  int price = 1;
};
struct SoldToy : Sold, Item<4> {
  using Item::Item;
};

TEST(WeakObjectPoolTest, SubclassesAreApart) {
  const auto item = std::make_unique<Item<4>>(1);
  const auto toy = std::make_unique<Toy>(2);
  const Toy local(3);
  const auto sold = std::make_unique<SoldToy>(4);
  EXPECT_THAT(Visited<Item<4>>(), ElementsAre(1));
  EXPECT_THAT(Visited<Toy>(), ElementsAre(2, 3));
  // Where the class is not the first of its bases, too.
  EXPECT_THAT(Visited<SoldToy>(), ElementsAre(4));
  WeakObjectPool<SoldToy>().ForEach(
      [&](SoldToy& visited) { EXPECT_EQ(&visited, sold.get()); });
  const ObjectCounts counts = WeakObjectPool<Toy>().Counts();  // of all
  EXPECT_EQ(counts.class_name, "instar::pool_test::Item<4>");
  EXPECT_THAT(counts.by_version,
              ElementsAre(Pair("instar::pool_test::Item<4>", 1u)));
  EXPECT_THAT(counts.subclasses,
              UnorderedElementsAre(Pair("instar::pool_test::Toy", 2u),
                                   Pair("instar::pool_test::SoldToy", 1u)));
  EXPECT_EQ(counts.Total(), 4u);
}

TEST(WeakObjectPoolTest, OfAVersionAreItsLaterOnesToo) {
  const auto oldest = std::make_unique<Item<5>>(1);
  const auto to_second = Convert<Item<5>, ItemV2<5>>();
  const auto to_third = Convert<ItemV2<5>, ItemV3<5>>();
  // Code of the program makes what it was built with.
  const auto late = std::make_unique<Item<5>>(2);
  EXPECT_THAT(Visited<Item<5>>(), ElementsAre(1, 2));
  EXPECT_THAT(Visited<ItemV2<5>>(), ElementsAre(1));
  EXPECT_THAT(Visited<ItemV3<5>>(), ElementsAre(1));
  EXPECT_THAT(WeakObjectPool<ItemV3<5>>().Counts().by_version,
              ElementsAre(Pair("instar::pool_test::Item<5>", 1u),
                          Pair("instar::pool_test::ItemV2<5>", 0u),
                          Pair("instar::pool_test::ItemV3<5>", 1u)));
  ASSERT_EQ(to_third->Undo(), absl::OkStatus());
  EXPECT_THAT(Visited<ItemV3<5>>(), IsEmpty());
  EXPECT_THAT(Visited<ItemV2<5>>(), ElementsAre(1));
  ASSERT_EQ(to_second->Undo(), absl::OkStatus());
  EXPECT_THAT(Visited<ItemV2<5>>(), IsEmpty());
  EXPECT_THAT(Visited<Item<5>>(), ElementsAre(1, 2));
}

TEST(WeakObjectPoolTest, AllClassesThatWereUsed) {
  const auto item = std::make_unique<Item<6>>(1);
  std::size_t found = 0;
  for (const ObjectCounts& counts : CountAllObjects()) {
    EXPECT_NE(counts.class_name, "instar::pool_test::Item<7>");
    if (counts.class_name != "instar::pool_test::Item<6>") continue;
    ++found;
    EXPECT_EQ(counts.Total(), 1u);
  }
  EXPECT_EQ(found, 1u);
}

// --- What the visitor does itself.

// In slots, and too large for those.
struct Small : Updatable<Small> {};
struct Large : Updatable<Large> {
  char bytes[1 << 20] = {};
};

template <typename T>
class VisitorTest : public testing::Test {
 protected:
  ~VisitorTest() override {
    for (T* object : objects_) delete object;
    EXPECT_EQ(WeakObjectPool<T>().Counts().Total(), 0u);
  }
  void Make() { objects_.insert(new T); }
  void Destroy(T* object) {
    ASSERT_EQ(objects_.erase(object), 1u);
    delete object;
  }

  std::set<T*> objects_;
};
using Sizes = testing::Types<Small, Large>;
TYPED_TEST_SUITE(VisitorTest, Sizes);

TYPED_TEST(VisitorTest, MayDestroyWhatItIsGiven) {
  for (int i = 0; i < 10; ++i) this->Make();
  int visited = 0;
  WeakObjectPool<TypeParam>().ForEach([&](TypeParam& object) {
    ++visited;
    this->Destroy(&object);
  });
  EXPECT_EQ(visited, 10);
  EXPECT_THAT(this->objects_, IsEmpty());
}

TYPED_TEST(VisitorTest, MayDestroyAnother) {
  for (int i = 0; i < 10; ++i) this->Make();
  int visited = 0;
  WeakObjectPool<TypeParam>().ForEach([&](TypeParam& object) {
    ++visited;
    ASSERT_EQ(this->objects_.count(&object), 1u) << "it is gone";
    while (this->objects_.size() > 1) {
      auto other = this->objects_.begin();
      if (*other == &object) ++other;
      this->Destroy(*other);
    }
  });
  EXPECT_EQ(visited, 1);
  EXPECT_EQ(this->objects_.size(), 1u);
}

TYPED_TEST(VisitorTest, MayMakeMore) {
  for (int i = 0; i < 10; ++i) this->Make();
  const std::set<TypeParam*> before = this->objects_;
  std::multiset<TypeParam*> visited;
  WeakObjectPool<TypeParam>().ForEach([&](TypeParam& object) {
    visited.insert(&object);
    if (this->objects_.size() < 20) this->Make();
  });
  for (TypeParam* object : before) EXPECT_EQ(visited.count(object), 1u);
  EXPECT_EQ(WeakObjectPool<TypeParam>().Counts().Total(), 20u);
}

}  // namespace pool_test
}  // namespace instar
