// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/shadow/shadow.h"

#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/conversion.h"
#include "heap/updatable.h"

namespace instar {
namespace {

// Counts those that live.
struct Counted {
  explicit Counted(int n = 0) : number(n) { ++live; }
  Counted(const Counted&) = delete;
  ~Counted() { --live; }
  int number;
  static inline int live = 0;
};

struct Pair2 {  // an aggregate
  int a;
  int b;
};

struct Plain {
  int value = 0;
};

class ShadowTest : public testing::Test {
 protected:
  ~ShadowTest() override {
    numbers_.End();
    names_.End();
    counted_.End();
    EXPECT_EQ(Counted::live, 0);
  }

  Shadow<int> numbers_{"numbers"};
  Shadow<std::string> names_{"names"};
  Shadow<Counted> counted_{"counted"};
};

TEST_F(ShadowTest, AttachesFindsAndDetaches) {
  Plain a, b;
  EXPECT_EQ(numbers_.Find(&a), nullptr);
  EXPECT_EQ(numbers_.size(), 0u);
  int* const attached = numbers_.Attach(&a, 7);
  ASSERT_NE(attached, nullptr);
  EXPECT_EQ(*attached, 7);
  EXPECT_EQ(numbers_.Find(&a), attached);
  EXPECT_EQ(numbers_.Find(&b), nullptr);
  EXPECT_EQ(numbers_.Attach(&a, 8), nullptr);  // it has one
  EXPECT_EQ(*numbers_.Find(&a), 7);
  EXPECT_EQ(numbers_.size(), 1u);
  EXPECT_TRUE(numbers_.Detach(&a));
  EXPECT_FALSE(numbers_.Detach(&a));
  EXPECT_FALSE(numbers_.Detach(&b));
  EXPECT_EQ(numbers_.Find(&a), nullptr);
  EXPECT_EQ(numbers_.size(), 0u);
}

TEST_F(ShadowTest, NothingIsAttachedToNothing) {
  const Plain* const none = nullptr;
  EXPECT_EQ(numbers_.Find(none), nullptr);
  EXPECT_FALSE(numbers_.Detach(none));
  Plain a;
  numbers_.Attach(&a, 1);
  EXPECT_EQ(numbers_.Find(none), nullptr);
  EXPECT_FALSE(numbers_.Detach(none));
  EXPECT_EQ(numbers_.size(), 1u);
  EXPECT_DEATH(numbers_.FindOrAttach(none), "numbers: there is no object");
}

TEST_F(ShadowTest, FindOrAttachMakesOne) {
  Plain a;
  std::string& first = names_.FindOrAttach(&a, 3, 'x');
  EXPECT_EQ(first, "xxx");
  EXPECT_EQ(&names_.FindOrAttach(&a, "other"), &first);
  EXPECT_EQ(first, "xxx");
}

TEST_F(ShadowTest, OneOfEachKind) {
  Plain a;
  numbers_.FindOrAttach(&a, 1);
  names_.FindOrAttach(&a, "one");
  counted_.FindOrAttach(&a, 1);
  numbers_.Detach(&a);
  EXPECT_EQ(*names_.Find(&a), "one");
  EXPECT_EQ(Counted::live, 1);
  DetachShadows(&a);
  EXPECT_EQ(names_.Find(&a), nullptr);
  EXPECT_EQ(Counted::live, 0);
  DetachShadows(&a);  // there are none
}

TEST_F(ShadowTest, ReplaceEndsWhatWasThere) {
  Plain a;
  counted_.Replace(&a, 1);
  EXPECT_EQ(Counted::live, 1);
  Counted& second = counted_.Replace(&a, 2);
  EXPECT_EQ(Counted::live, 1);
  EXPECT_EQ(counted_.Find(&a), &second);
  EXPECT_EQ(second.number, 2);
  EXPECT_EQ(counted_.size(), 1u);
}

TEST_F(ShadowTest, TakesAggregates) {
  Plain a;
  Shadow<Pair2> pairs("pairs");
  EXPECT_EQ(pairs.FindOrAttach(&a, 1, 2).b, 2);
  pairs.End();
}

TEST_F(ShadowTest, WhatThrowsAttachesNothing) {
  struct Thrower {
    explicit Thrower(bool throws) {
      if (throws) throw std::runtime_error("no");
    }
    Counted counted;
  };
  Plain a;
  Shadow<Thrower> throwers("throwers");
  EXPECT_THROW(throwers.Attach(&a, true), std::runtime_error);
  EXPECT_EQ(throwers.Find(&a), nullptr);
  EXPECT_THROW(throwers.Replace(&a, true), std::runtime_error);
  throwers.Replace(&a, false);
  EXPECT_THROW(throwers.Replace(&a, true), std::runtime_error);
  EXPECT_NE(throwers.Find(&a), nullptr);
  EXPECT_EQ(Counted::live, 1);
  throwers.End();
}

TEST_F(ShadowTest, AllAreDetached) {
  std::vector<Plain> plains(1000);
  for (const Plain& plain : plains) counted_.Attach(&plain);
  EXPECT_EQ(counted_.size(), 1000u);
  EXPECT_EQ(counted_.DetachAll(), 1000u);
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(counted_.size(), 0u);
  EXPECT_EQ(counted_.DetachAll(), 0u);
  counted_.Attach(&plains[0], 5);
  counted_.End();
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(counted_.Find(&plains[0]), nullptr);
  counted_.Attach(&plains[0], 6);  // it goes on
  EXPECT_EQ(counted_.Find(&plains[0])->number, 6);
}

TEST_F(ShadowTest, ForEachVisitsAll) {
  std::vector<Plain> plains(100);
  std::set<const void*> expected, visited;
  for (const Plain& plain : plains) {
    numbers_.Attach(&plain, 1);
    expected.insert(&plain);
  }
  numbers_.ForEach([&](const void* object, int& number) {
    EXPECT_TRUE(visited.insert(object).second);
    number = 2;
    names_.FindOrAttach(object, "seen");  // no lock is held
  });
  EXPECT_EQ(visited, expected);
  EXPECT_EQ(*numbers_.Find(&plains[50]), 2);
  EXPECT_EQ(names_.size(), 100u);
}

// What is detached moves others up, over the end of the slots as well.
TEST_F(ShadowTest, AgreesWithAHashTable) {
  std::mt19937 random(7);
  std::vector<Plain> plains(500);
  std::unordered_map<const Plain*, int> model;
  for (int step = 0; step < 200000; ++step) {
    const Plain* const plain = &plains[random() % plains.size()];
    switch (random() % 5) {
      case 0:
      case 1:
        EXPECT_EQ(numbers_.Attach(plain, step) != nullptr,
                  model.emplace(plain, step).second);
        break;
      case 2:
        numbers_.Replace(plain, step);
        model[plain] = step;
        break;
      // As many are detached as are attached, or a few more: the table is full
      // and nearly empty by turns.
      default:
        if ((step / 2000) % 2 == 0) break;
        EXPECT_EQ(numbers_.Detach(plain), model.erase(plain) == 1);
    }
    const Plain* const other = &plains[random() % plains.size()];
    const int* const found = numbers_.Find(other);
    const auto in_model = model.find(other);
    ASSERT_EQ(found == nullptr, in_model == model.end()) << step;
    if (found != nullptr) {
      ASSERT_EQ(*found, in_model->second) << step;
    }
  }
  EXPECT_EQ(numbers_.size(), model.size());
  EXPECT_EQ(numbers_.DetachAll(), model.size());
}

// Objects of an updatable class.

struct Product : Updatable<Product> {
  explicit Product(std::string n) : name(std::move(n)) {}
  std::string name;
};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  int mark = 5;
};
struct Base {
  virtual ~Base() = default;
  int base = 0;
};
// Its Product does not lie at its begin.
struct Offer : Base, Product {
  Offer() : Product("offer") {}
};

TEST_F(ShadowTest, EndsWithAnUpdatableObject) {
  auto product = std::make_unique<Product>("chair");
  counted_.Attach(product.get(), 1);
  names_.Attach(product.get(), "a chair");
  product.reset();
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(names_.size(), 0u);
}

TEST_F(ShadowTest, AnAddressThatIsUsedAgainHasNone) {
  auto first = std::make_unique<Product>("chair");
  const void* const where = first.get();
  counted_.Attach(first.get(), 1);
  first.reset();
  const auto second = std::make_unique<Product>("table");
  ASSERT_EQ(static_cast<void*>(second.get()), where)
      << "this thread's slot is given out again";
  EXPECT_EQ(counted_.Find(second.get()), nullptr);
}

TEST_F(ShadowTest, EndsWithObjectsThatNewDidNotMake) {
  {
    const Product local("local");
    Product array[2] = {Product("a"), Product("b")};
    std::vector<Product> in_vector;
    in_vector.emplace_back("in a vector");
    counted_.Attach(&local);
    counted_.Attach(&array[1]);
    counted_.Attach(&in_vector[0]);
    // Copies are others.
    const Product copy = local;
    EXPECT_EQ(counted_.Find(&copy), nullptr);
    EXPECT_EQ(Counted::live, 3);
  }
  EXPECT_EQ(Counted::live, 0);
}

TEST_F(ShadowTest, OnePointerIsAsGoodAsAnother) {
  auto offer = std::make_unique<Offer>();
  Product* const product = offer.get();
  ASSERT_NE(static_cast<void*>(product), static_cast<void*>(offer.get()));
  counted_.Attach(offer.get(), 1);
  EXPECT_NE(counted_.Find(product), nullptr);
  offer.reset();
  EXPECT_EQ(Counted::live, 0);
}

TEST_F(ShadowTest, ConvertedObjectsKeepIt) {
  auto product = std::make_unique<Product>("chair");
  counted_.Attach(product.get(), 3);
  const std::unique_ptr<ConversionStep> step =
      EagerConversion<Product, ProductV2>();
  ASSERT_EQ(step->Prepare(), absl::OkStatus());
  ASSERT_EQ(step->Apply(), absl::OkStatus());
  auto* const now = version_cast<ProductV2>(product.get());
  ASSERT_NE(now, nullptr);
  ASSERT_NE(counted_.Find(now), nullptr);
  EXPECT_EQ(counted_.Find(now)->number, 3);
  ASSERT_EQ(step->Undo(), absl::OkStatus());
  EXPECT_NE(counted_.Find(product.get()), nullptr);
  product.reset();
  EXPECT_EQ(Counted::live, 0);
}

// What ends with an object may be what others are attached to.
TEST_F(ShadowTest, ObjectsThatEndMayEndOthers) {
  struct Chain {
    std::unique_ptr<Product> next;
  };
  Shadow<Chain> chains("chains");
  auto first = std::make_unique<Product>("0");
  Product* last = first.get();
  for (int i = 1; i < 100; ++i) {
    auto next = std::make_unique<Product>(std::to_string(i));
    Product* const end = next.get();
    counted_.Attach(last, i);
    chains.Attach(last, Chain{std::move(next)});
    last = end;
  }
  EXPECT_EQ(chains.size(), 99u);
  first.reset();
  EXPECT_EQ(chains.size(), 0u);
  EXPECT_EQ(Counted::live, 0);
  chains.End();
}

TEST_F(ShadowTest, AShadowThatHasEndedIsToldNothing) {
  auto product = std::make_unique<Product>("chair");
  {
    Shadow<Counted> short_lived("short-lived");
    short_lived.Attach(product.get());
    short_lived.End();
  }
  product.reset();
  EXPECT_EQ(Counted::live, 0);
}

// Static storage, and what a module would have: no code runs before.
Shadow<int> global("global");
struct UsesItBeforeMain {
  UsesItBeforeMain() { global.FindOrAttach(this, 9); }
};
UsesItBeforeMain before_main;

TEST_F(ShadowTest, IsThereBeforeMain) {
  ASSERT_NE(global.Find(&before_main), nullptr);
  EXPECT_EQ(*global.Find(&before_main), 9);
  static_assert(std::is_trivially_destructible_v<Shadow<std::string>>);
}

}  // namespace
}  // namespace instar
