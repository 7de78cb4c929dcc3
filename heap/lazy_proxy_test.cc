// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/lazy_proxy.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "heap/conversion.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"

namespace instar {
namespace {

struct Product : Updatable<Product> {
  explicit Product(std::string n = "") : name(std::move(n)) {}
  virtual int Version() const { return 1; }
  std::string name;
};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  int Version() const override { return 2; }
  absl::Status Convert() {
    if (name == "bad") return absl::AbortedError("bad");
    conversions.fetch_add(1);
    mark = static_cast<int>(name.size());
    return absl::OkStatus();
  }
  int mark = 0;
  static inline std::atomic<int> conversions{0};
};

static_assert(std::is_copy_constructible_v<LazyProxy<Product>> &&
              std::is_copy_assignable_v<LazyProxy<Product>> &&
              std::is_copy_constructible_v<LazyShared<Product>> &&
              std::is_copy_assignable_v<LazyShared<Product>>);
static_assert(!std::is_copy_constructible_v<LazyUnique<Product>> &&
              !std::is_copy_assignable_v<LazyUnique<Product>> &&
              std::is_nothrow_move_constructible_v<LazyUnique<Product>> &&
              std::is_nothrow_move_assignable_v<LazyUnique<Product>>);

std::size_t Count(int version) {
  const ObjectCounts counts = WeakObjectPool<Product>().Counts();
  return counts.OfVersion(version == 1
                              ? "instar::(anonymous namespace)::Product"
                              : "instar::(anonymous namespace)::ProductV2");
}

class LazyProxyTest : public testing::Test {
 protected:
  void Apply() {
    ASSERT_TRUE(step_->Prepare().ok());
    ASSERT_TRUE(step_->Apply().ok());
  }
  void TearDown() override {
    ASSERT_TRUE(step_->Undo().ok());
    EXPECT_EQ(WeakObjectPool<Product>().Counts().Total(), 0u);
  }
  std::unique_ptr<ConversionStep> step_ = LazyConversion<Product, ProductV2>();
};

// The paper's listing: start_lazy_update_class(Foo, FooV2).
TEST_F(LazyProxyTest, ConvertsEachObjectAtItsFirstAccess) {
  std::vector<LazyUnique<Product>> products;
  for (int i = 0; i < 10; ++i) {
    products.emplace_back(std::make_unique<Product>("apple"));
    EXPECT_EQ(products.back()->Version(), 1);
  }
  Product* plain = products[3].address();
  Apply();
  EXPECT_EQ(Count(1), 10u);
  EXPECT_EQ(products[3]->Version(), 2);
  EXPECT_EQ(products[3].get(), plain);
  EXPECT_EQ(plain->name, "apple");
  EXPECT_EQ(version_cast<ProductV2>(products[3].get())->mark, 5);
  EXPECT_EQ(Count(1), 9u);
  EXPECT_EQ(Count(2), 1u);
  EXPECT_EQ(version_cast<ProductV2>(products[4].address()), nullptr);
  ASSERT_TRUE(step_->Undo().ok());
  EXPECT_EQ(Count(1), 10u);
  EXPECT_EQ(products[3]->Version(), 1);
  Apply();
  for (auto& product : products) EXPECT_EQ(product->Version(), 2);
  EXPECT_EQ(Count(2), 10u);
}

TEST_F(LazyProxyTest, LateBirthsWaitForTheirFirstAccess) {
  Apply();
  LazyUnique<Product> late(std::make_unique<Product>("late"));
  ASSERT_TRUE(ConvertAllLateBirths().ok());
  EXPECT_EQ(Count(1), 1u);
  EXPECT_EQ(late->Version(), 2);
}

TEST_F(LazyProxyTest, SharedAndPlainProxiesOfOneObjectAgree) {
  LazyShared<Product> first(std::shared_ptr<Product>(new Product("pear")));
  LazyShared<Product> second = first;
  LazyProxy<Product> plain(first.address());
  EXPECT_TRUE(plain == first);
  const int before = ProductV2::conversions;
  Apply();
  EXPECT_EQ(second->Version(), 2);
  EXPECT_EQ(first->Version(), 2);
  EXPECT_EQ(plain->Version(), 2);
  EXPECT_EQ(ProductV2::conversions, before + 1);
  first.reset();
  EXPECT_FALSE(first);
  EXPECT_EQ(second->name, "pear");
}

TEST_F(LazyProxyTest, ProxiesMoveAndSwapLikeWhatTheyHold) {
  LazyUnique<Product> a(std::make_unique<Product>("a"));
  LazyUnique<Product> b = std::move(a);
  EXPECT_TRUE(a == nullptr);
  EXPECT_EQ(b->name, "a");
  a = LazyUnique<Product>(std::make_unique<Product>("other"));
  std::swap(a, b);
  EXPECT_EQ(a->name, "a");
  EXPECT_EQ(b->name, "other");
  a = nullptr;
  EXPECT_EQ(a.get(), nullptr);
  LazyProxy<Product> plain(new Product("gone"));
  Apply();
  plain.Delete();
  EXPECT_TRUE(plain == nullptr);
}

TEST_F(LazyProxyTest, AnObjectWhoseConversionFailsStaysWhatItIs) {
  LazyUnique<Product> bad(std::make_unique<Product>("bad"));
  LazyUnique<Product> good(std::make_unique<Product>("good"));
  Apply();
  EXPECT_EQ(bad->Version(), 1);
  EXPECT_EQ(good->Version(), 2);
  EXPECT_EQ(WeakObjectPool<Product>().Counts().failed, 1u);
  EXPECT_EQ(ConvertObject(bad.get()).code(), absl::StatusCode::kAborted);
  bad->name = "mended";
  EXPECT_TRUE(ConvertObject(bad.get()).ok());
  EXPECT_EQ(bad->Version(), 2);
  EXPECT_EQ(WeakObjectPool<Product>().Counts().failed, 0u);
}

TEST_F(LazyProxyTest, ThreadsThatArriveTogetherConvertOnce) {
  for (int round = 0; round < 200; ++round) {
    LazyUnique<Product> product(std::make_unique<Product>("together"));
    LazyProxy<Product> other(product.address());
    Apply();
    const int before = ProductV2::conversions;
    std::atomic<int> ready{0};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        ready.fetch_add(1);
        while (ready.load() < 4) std::this_thread::yield();
        Product* object = t % 2 == 0 ? product.get() : other.get();
        ProductV2* v2 = version_cast<ProductV2>(object);
        if (v2 == nullptr || v2->mark != 8) ++wrong;
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(ProductV2::conversions, before + 1);
    ASSERT_TRUE(step_->Undo().ok());
  }
}

// Convert() of each looks at the other through a proxy.
struct Friend : Updatable<Friend> {
  LazyProxy<Friend> other;
  int seen = 0;
};
struct FriendV2 : Friend {
  explicit FriendV2(Friend&& old) noexcept : Friend(std::move(old)) {}
  void Convert() {
    seen = other->seen + 1;
    LazyProxy<Friend>(this)->seen += 10;  // itself, in the midst of it
  }
};

TEST_F(LazyProxyTest, ConversionsThatNeedEachOtherEnd) {
  for (int round = 0; round < 300; ++round) {
    LazyUnique<Friend> a(std::make_unique<Friend>());
    LazyUnique<Friend> b(std::make_unique<Friend>());
    a->other = b.address();
    b->other = a.address();
    auto step = LazyConversion<Friend, FriendV2>();
    ASSERT_TRUE(step->Prepare().ok());
    ASSERT_TRUE(step->Apply().ok());
    std::atomic<int> ready{0};
    const auto use = [&](LazyUnique<Friend>& mine) {
      ready.fetch_add(1);
      while (ready.load() < 2) std::this_thread::yield();
      mine.get();
    };
    std::thread one([&] { use(a); });
    std::thread two([&] { use(b); });
    one.join();
    two.join();
    EXPECT_NE(version_cast<FriendV2>(a.get()), nullptr);
    EXPECT_NE(version_cast<FriendV2>(b.get()), nullptr);
    EXPECT_GE(a->seen, 11);
    EXPECT_GE(b->seen, 11);
    ASSERT_TRUE(step->Undo().ok());
  }
}

TEST(ProgressiveConversionTest, ConvertsEverythingInTheBackground) {
  constexpr int kObjects = 20000;
  std::vector<LazyUnique<Product>> products;
  for (int i = 0; i < kObjects; ++i) {
    products.emplace_back(std::make_unique<Product>(std::to_string(i)));
  }
  auto step = ProgressiveConversion<Product, ProductV2>({}, 64);
  EXPECT_TRUE(step->Done());
  ASSERT_TRUE(step->Prepare().ok());
  step->PauseBackground();
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_FALSE(step->Done());
  EXPECT_EQ(Count(1), static_cast<std::size_t>(kObjects));
  step->ResumeBackground();
  for (int i = 0; i < kObjects; i += 3) {
    ASSERT_EQ(products[i]->Version(), 2);
    if (i % 2 == 0) products[i].reset();
  }
  step->WaitUntilDone();
  EXPECT_TRUE(step->Done());
  EXPECT_EQ(Count(1), 0u);
  EXPECT_EQ(Count(2), static_cast<std::size_t>(kObjects - (kObjects + 5) / 6));
  EXPECT_EQ(version_cast<ProductV2>(products[1].address())->mark, 1);
  ASSERT_TRUE(step->Undo().ok());
  EXPECT_EQ(Count(2), 0u);
}

TEST(ProgressiveConversionTest, UndoStopsTheSweepHalfWay) {
  std::vector<LazyUnique<Product>> products;
  for (int i = 0; i < 20000; ++i) {
    products.emplace_back(std::make_unique<Product>("x"));
  }
  auto step = ProgressiveConversion<Product, ProductV2>({}, 16);
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(step->Prepare().ok());
    ASSERT_TRUE(step->Apply().ok());
    ASSERT_TRUE(step->Undo().ok());
    ASSERT_TRUE(step->Done());
    ASSERT_EQ(Count(1), 20000u);
  }
}

// A mark has room for 31 epochs; an object may stay unused for more.
TEST(ProgressiveConversionTest, AnObjectOfLongAgoIsConverted) {
  for (int updates = 1; updates <= 33; ++updates) {
    LazyUnique<Product> product(std::make_unique<Product>("old"));
    for (int i = 0; i < updates; ++i) {
      auto lazily = LazyConversion<Product, ProductV2>();
      ASSERT_TRUE(lazily->Prepare().ok());
      ASSERT_TRUE(lazily->Apply().ok());
      ASSERT_TRUE(lazily->Undo().ok());
    }
    auto step = ProgressiveConversion<Product, ProductV2>();
    ASSERT_TRUE(step->Prepare().ok());
    ASSERT_TRUE(step->Apply().ok());
    step->WaitUntilDone();
    ASSERT_EQ(Count(1), 0u) << updates;
    ASSERT_TRUE(step->Undo().ok());
  }
}

}  // namespace
}  // namespace instar
