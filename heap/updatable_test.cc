// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/updatable.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "heap/internal/slab.h"
#include "heap/internal/updatable_class.h"

namespace instar {
namespace {

using heap_internal::SetSlabBudgetForTesting;
using heap_internal::Slab;
using heap_internal::SlabOf;

struct Plain {
  virtual ~Plain() = default;
  std::int64_t fields[5] = {};
};

class Product : public Updatable<Product> {
 public:
  explicit Product(std::string name = "", int stock = 0)
      : name(std::move(name)), stock(stock) {}
  std::string name;
  int stock;
};

std::size_t InSlots(heap_internal::UpdatableClass* c) {
  std::size_t count = 0;
  for (auto* a = c->first_arena(); a != nullptr; a = a->next_in_class) {
    for (Slab* s = a->first_slab(); s != nullptr; s = s->next_in_class) {
      for (std::size_t i = 0; i < s->slot_count; ++i) {
        count += s->marks()[i].load() != heap_internal::kNoObject;
      }
    }
  }
  return count;
}

class UpdatableTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(InSlots(Product::Class()), 0u);
    EXPECT_EQ(Product::Class()->outside_count(), 0u);
    EXPECT_EQ(Product::Class()->untracked(), 0);
  }
};

TEST_F(UpdatableTest, CostsAVirtualDestructorAndNothingElse) {
  struct Six : Updatable<Six> {
    std::int64_t fields[5];
  };
  EXPECT_EQ(sizeof(Six), sizeof(Plain));
}

TEST_F(UpdatableTest, NewEntersTheClassAndDeleteLeavesIt) {
  Product* product = new Product("apple", 3);
  EXPECT_EQ(InSlots(Product::Class()), 1u);
  EXPECT_EQ(product->name, "apple");
  ASSERT_NE(SlabOf(product), nullptr);
  EXPECT_GE(SlabOf(product)->slot_bytes, sizeof(Product) + kDefaultRoomToGrow);
  delete product;
  EXPECT_EQ(InSlots(Product::Class()), 0u);
}

TEST_F(UpdatableTest, SmartPointersAndNothrowNewUseSlots) {
  auto unique = std::make_unique<Product>();
  std::shared_ptr<Product> shared(new Product);
  std::unique_ptr<Product> quiet(new (std::nothrow) Product);
  EXPECT_EQ(InSlots(Product::Class()), 3u);
  EXPECT_EQ(Product::Class()->outside_count(), 0u);
}

struct Order : Updatable<Order> {
  int number = 0;
  Product product;
};

TEST_F(UpdatableTest, ObjectsElsewhereAreTracked) {
  static std::unique_ptr<std::aligned_storage_t<sizeof(Product)>> place;
  place = std::make_unique<std::aligned_storage_t<sizeof(Product)>>();
  {
    Product local;
    std::vector<Product> vector(3);
    auto made = std::make_shared<Product>();
    std::unique_ptr<Product[]> array(new Product[2]);
    auto order = std::make_unique<Order>();
    Product* placed = new (place.get()) Product;
    EXPECT_EQ(Product::Class()->outside_count(), 1u + 3 + 1 + 2 + 1 + 1);
    EXPECT_EQ(InSlots(Product::Class()), 0u);
    EXPECT_TRUE(Product::Class()->FindOutside(&local)->automatic);
    EXPECT_FALSE(Product::Class()->FindOutside(&vector[0])->automatic);
    EXPECT_FALSE(Product::Class()->FindOutside(&order->product)->automatic);
    placed->~Product();
  }
  place.reset();
}

TEST_F(UpdatableTest, CopiesAndMovesAreObjectsOfTheirOwn) {
  auto a = std::make_unique<Product>("apple", 1);
  auto b = std::make_unique<Product>(*a);
  auto c = std::make_unique<Product>(std::move(*a));
  *b = *c;
  EXPECT_EQ(InSlots(Product::Class()), 3u);
  static_assert(std::is_nothrow_move_constructible_v<Product>);
}

TEST_F(UpdatableTest, AConstructorThatThrowsLeavesNothing) {
  struct Thrower : Updatable<Thrower> {
    Thrower() { throw std::runtime_error("no"); }
  };
  EXPECT_THROW(new Thrower, std::runtime_error);
  EXPECT_EQ(InSlots(Thrower::Class()), 0u);
}

struct Book : Product {
  char text[100] = {};
};

TEST_F(UpdatableTest, SubclassesHaveSlotsOfTheirOwnSize) {
  std::unique_ptr<Product> book = std::make_unique<Book>();
  EXPECT_GE(SlabOf(book.get())->slot_bytes, sizeof(Book) + kDefaultRoomToGrow);
  EXPECT_EQ(InSlots(Product::Class()), 1u);
}

struct Interface {
  virtual ~Interface() = default;
  virtual int Answer() = 0;
  int pad = 1;
};
struct Second : Interface, Updatable<Second> {
  int Answer() override { return 42; }
  int value = 7;
};

TEST_F(UpdatableTest, TheBaseNeedNotComeFirst) {
  Second* object = new Second;
  Interface* as_interface = object;
  Updatable<Second>* as_updatable = object;
  EXPECT_NE(static_cast<void*>(as_updatable), static_cast<void*>(object));
  EXPECT_EQ(InSlots(Second::Class()), 1u);
  EXPECT_EQ(as_interface->Answer(), 42);
  delete as_interface;
  EXPECT_EQ(InSlots(Second::Class()), 0u);
}

struct alignas(128) Wide : Updatable<Wide> {
  char bytes[130];
};

TEST_F(UpdatableTest, OverAlignedObjectsAreAligned) {
  std::vector<std::unique_ptr<Wide>> objects;
  for (int i = 0; i < 100; ++i) {
    objects.push_back(std::make_unique<Wide>());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(objects.back().get()) % 128, 0u);
  }
  EXPECT_EQ(InSlots(Wide::Class()), 100u);
}

struct Huge : Updatable<Huge> {
  char bytes[100000];
};
struct alignas(8192) HugelyAligned : Updatable<HugelyAligned> {};

TEST_F(UpdatableTest, WhatIsTooLargeForASlabKeepsItsRoom) {
  auto huge = std::make_unique<Huge>();
  EXPECT_EQ(SlabOf(huge.get()), nullptr);
  auto* entry = Huge::Class()->FindOutside(huge.get());
  ASSERT_NE(entry, nullptr);
  EXPECT_GE(entry->capacity, sizeof(Huge) + kDefaultRoomToGrow);
  EXPECT_FALSE(entry->automatic);
  huge.reset();
  EXPECT_EQ(Huge::Class()->outside_count(), 0u);

  auto aligned = std::make_unique<HugelyAligned>();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned.get()) % 8192, 0u);
}

template <typename Item>
struct Box : Updatable<Box<Item>> {
  Item item{};
};

TEST_F(UpdatableTest, TemplatesAreClassesEach) {
  auto a = std::make_unique<Box<int>>();
  auto b = std::make_unique<Box<std::string>>();
  EXPECT_NE(Box<int>::Class(), Box<std::string>::Class());
  EXPECT_EQ(InSlots(Box<int>::Class()), 1u);
}

TEST_F(UpdatableTest, OneNameWithTwoLayoutsIsNoticed) {
  struct Twice : Updatable<Twice> {};
  auto* first = Twice::Class();
  EXPECT_FALSE(first->has_other_layout());
  auto* same = heap_internal::UpdatableClass::Register(first->layout());
  EXPECT_EQ(first, same);
  heap_internal::ClassLayout layout = first->layout();
  layout.size += 8;
  auto* other = heap_internal::UpdatableClass::Register(layout);
  EXPECT_NE(first, other);
  EXPECT_TRUE(first->has_other_layout());
  EXPECT_TRUE(other->has_other_layout());
}

TEST_F(UpdatableTest, SlotsAreDistinctAndUsedAgain) {
  std::vector<Product*> objects;
  std::set<Product*> distinct;
  for (int i = 0; i < 20000; ++i) {
    objects.push_back(new Product("p", i));
    distinct.insert(objects.back());
  }
  EXPECT_EQ(distinct.size(), objects.size());
  EXPECT_EQ(InSlots(Product::Class()), objects.size());
  std::shuffle(objects.begin(), objects.end(), std::mt19937(1));
  for (Product* object : objects) delete object;
  // All of them again: no memory is asked for, though none is given back.
  SetSlabBudgetForTesting(0);
  for (Product*& object : objects) object = new Product;
  SetSlabBudgetForTesting(-1);
  for (Product* object : objects) delete object;
}

TEST_F(UpdatableTest, WhatAnotherThreadFreesIsUsedAgain) {
  std::set<Product*> all;
  for (int round = 0; round < 20; ++round) {
    std::vector<Product*> objects;
    for (int i = 0; i < 10000; ++i) {
      objects.push_back(new Product);
      all.insert(objects.back());
    }
    std::thread([&] {
      for (Product* object : objects) delete object;
    }).join();
  }
  // Without collecting what others freed this would be 200,000.
  EXPECT_LT(all.size(), 50000u);
}

TEST_F(UpdatableTest, ThreadsThatEndLeaveTheirMemoryToOthers) {
  std::set<Product*> all;
  for (int round = 0; round < 50; ++round) {
    std::thread([&] {
      std::vector<Product*> objects;
      for (int i = 0; i < 5000; ++i) {
        objects.push_back(new Product);
        all.insert(objects.back());
      }
      for (Product* object : objects) delete object;
    }).join();
  }
  EXPECT_LT(all.size(), 30000u);
}

// Made and destroyed by a destructor of a thread_local variable, which may run
// after this thread has handed its caches back.
struct AtThreadExit {
  ~AtThreadExit() {
    delete std::exchange(object, new Product);
    delete object;
  }
  Product* object = nullptr;
};

TEST_F(UpdatableTest, ObjectsAreMadeAndDestroyedWhileAThreadEnds) {
  std::thread([] {
    thread_local AtThreadExit before_the_caches;
    before_the_caches.object = new Product;
  }).join();
}

TEST_F(UpdatableTest, ExhaustedMemoryThrowsAndLeavesTheRestIntact) {
  struct Big : Updatable<Big> {
    char bytes[8000];
  };
  std::vector<std::unique_ptr<Big>> objects;
  SetSlabBudgetForTesting(2);
  EXPECT_THROW(
      {
        for (int i = 0; i < 1000; ++i) {
          objects.push_back(std::make_unique<Big>());
        }
      },
      std::bad_alloc);
  EXPECT_EQ(new (std::nothrow) Big, nullptr);
  const std::size_t made = objects.size();
  EXPECT_GT(made, 40u);
  EXPECT_LT(made, 70u);
  objects.pop_back();
  objects.push_back(std::make_unique<Big>());
  SetSlabBudgetForTesting(-1);
  objects.push_back(std::make_unique<Big>());
  EXPECT_EQ(InSlots(Big::Class()), made + 1);
}

TEST_F(UpdatableTest, FourThreadsPassObjectsAround) {
  constexpr int kThreads = 4;
  constexpr int kShelves = 64;
  constexpr int kRounds = 40000;
  std::vector<std::atomic<Product*>> shelves(kShelves);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < kRounds; ++i) {
        Product* mine = new Product(std::to_string(i), i);
        Product* other = shelves[random() % kShelves].exchange(mine);
        if (other == nullptr) continue;
        if (other->name != std::to_string(other->stock)) ++wrong;
        delete other;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  for (auto& shelf : shelves) delete shelf.load();
}

#ifdef INSTAR_HEAP_ASAN
TEST_F(UpdatableTest, FreeSlotsArePoisoned) {
  Product* volatile product = new Product("apple", 3);
  delete product;
  EXPECT_DEATH(std::printf("%d", product->stock), "use-after-poison");
}
#endif

}  // namespace
}  // namespace instar
