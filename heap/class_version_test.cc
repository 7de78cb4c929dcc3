// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/class_version.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "heap/internal/step_code.h"
#include "heap/updatable.h"

namespace instar {
namespace {

struct Product : Updatable<Product> {
  std::string name;
};

#define TAKES_OVER(New, Old) \
  explicit New(Old&& old) noexcept : Old(std::move(old)) {}

struct Good : Product {
  TAKES_OVER(Good, Product)
};
static_assert(CanBecome<Product, Good>);
struct GoodV3 : Good {
  TAKES_OVER(GoodV3, Good)
};
static_assert(CanBecome<Good, GoodV3>);

struct Unrelated {};
static_assert(WhyNot<Product, Unrelated> == Refusal::kNotDerived);
static_assert(WhyNot<Product, Product> == Refusal::kNotDerived);

struct Last final : Product {
  TAKES_OVER(Last, Product)
};
static_assert(CanBecome<Product, Last>);
static_assert(WhyNot<Last, Good> == Refusal::kOldIsFinal);

struct Alone {
  virtual ~Alone() = default;
};
struct AfterAlone : Alone {};
static_assert(WhyNot<Alone, AfterAlone> == Refusal::kNotUpdatable);

struct Secret : private Product {};
static_assert(WhyNot<Product, Secret> == Refusal::kNotPublicBase);

struct Virtual : virtual Product {
  explicit Virtual(Product&&) noexcept {}
};
static_assert(WhyNot<Product, Virtual> == Refusal::kVirtualBase);

struct Abstract : Product {
  TAKES_OVER(Abstract, Product)
  virtual void Pure() = 0;
};
static_assert(WhyNot<Product, Abstract> == Refusal::kAbstract);

struct Other {
  virtual ~Other() = default;
  int value = 0;
};
struct Shifted : Other, Product {
  TAKES_OVER(Shifted, Product)
};
static_assert(WhyNot<Product, Shifted> == Refusal::kOldNotAtStart);
struct WithSecondBase : Product, Other {
  TAKES_OVER(WithSecondBase, Product)
};
static_assert(CanBecome<Product, WithSecondBase>);

struct Locked : Updatable<Locked> {
  std::mutex mutex;
};
struct LockedV2 : Locked {};
static_assert(WhyNot<Locked, LockedV2> == Refusal::kOldCannotMove);
struct Counter : Updatable<Counter> {
  std::atomic<int> count{0};
};
struct CounterV2 : Counter {};
static_assert(WhyNot<Counter, CounterV2> == Refusal::kOldCannotMove);

// Its destructor takes the implicit move away; the copy may throw.
struct Destructed : Updatable<Destructed> {
  ~Destructed() override {}
  std::string text;
};
struct DestructedV2 : Destructed {
  TAKES_OVER(DestructedV2, Destructed)
};
static_assert(WhyNot<Destructed, DestructedV2> == Refusal::kOldMoveThrows);

struct NoConstructor : Product {
  NoConstructor() = default;
};
static_assert(WhyNot<Product, NoConstructor> == Refusal::kNoConstructorFromOld);

struct Throws : Product {
  explicit Throws(Product&& old) : Product(std::move(old)) {}
};
static_assert(WhyNot<Product, Throws> == Refusal::kConstructorFromOldThrows);

struct ConvertsInt : Product {
  TAKES_OVER(ConvertsInt, Product)
  int Convert() { return 0; }
};
static_assert(WhyNot<Product, ConvertsInt> == Refusal::kConvertUnusable);
struct ConvertsTwice : Product {
  TAKES_OVER(ConvertsTwice, Product)
  void Convert() {}
  void Convert(int) {}
};
static_assert(WhyNot<Product, ConvertsTwice> == Refusal::kConvertUnusable);
struct ConvertsStatus : Product {
  TAKES_OVER(ConvertsStatus, Product)
  absl::Status Convert() { return absl::OkStatus(); }
};
static_assert(CanBecome<Product, ConvertsStatus>);
// What a later version inherits is not run for it again.
struct Inherits : ConvertsStatus {
  TAKES_OVER(Inherits, ConvertsStatus)
};
static_assert(CanBecome<ConvertsStatus, Inherits>);
static_assert(heap_internal::ConvertHook<Inherits>::value ==
              heap_internal::Hook::kInherited);

struct BackThrows : Product {
  TAKES_OVER(BackThrows, Product)
  void ConvertBack() {}
};
static_assert(WhyNot<Product, BackThrows> == Refusal::kConvertBackUnusable);

template <typename Item>
struct Box : Updatable<Box<Item>> {
  Item item{};
};
struct BoxV2 : Box<std::string> {
  TAKES_OVER(BoxV2, Box<std::string>)
};
static_assert(CanBecome<Box<std::string>, BoxV2>);

TEST(ClassVersionTest, CastsToTheVersionThatAnObjectIs) {
  std::unique_ptr<Product> old = std::make_unique<Product>();
  std::unique_ptr<Product> good = std::make_unique<Good>(Product());
  std::unique_ptr<Product> third = std::make_unique<GoodV3>(Good(Product()));
  EXPECT_EQ(version_cast<Good>(old.get()), nullptr);
  EXPECT_EQ(version_cast<Good>(good.get()), good.get());
  EXPECT_EQ(version_cast<GoodV3>(good.get()), nullptr);
  EXPECT_EQ(version_cast<Good>(third.get()), third.get());
  EXPECT_EQ(version_cast<GoodV3>(third.get()), third.get());
  EXPECT_EQ(version_cast<Good>(static_cast<Product*>(nullptr)), nullptr);
}

TEST(ClassVersionTest, ConvertsOneObjectInPlaceAndBack) {
  Product* object = new Product;
  object->name = "short";  // points into itself
  const auto& next = heap_internal::NextVersionOf<Product, ConvertsStatus>();
  absl::Status error;
  ASSERT_TRUE(next.forward(object, &error)) << error;
  EXPECT_NE(dynamic_cast<ConvertsStatus*>(object), nullptr);
  EXPECT_EQ(object->name, "short");
  next.back(object);
  EXPECT_EQ(dynamic_cast<ConvertsStatus*>(object), nullptr);
  EXPECT_EQ(object->name, "short");
  delete object;
}

}  // namespace
}  // namespace instar
