// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/appended_member.h"

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"

namespace instar {
namespace {

// The class as the program was built with it.
class Product : public Updatable<Product, 64> {
 public:
  explicit Product(int price) : price(price) {}
  int price;
};

class Toy : public Product {
 public:
  Toy() : Product(1) {}
};

// Where the next build has its new members. (In one program there are no two
// classes of one name.)
constexpr std::size_t kNoteAt = (sizeof(Product) + alignof(std::string) - 1) /
                                alignof(std::string) * alignof(std::string);
constexpr std::size_t kMarkAt = kNoteAt + sizeof(std::string);
constexpr std::size_t kNewSize = kMarkAt + sizeof(double);
static_assert(kNewSize <= sizeof(Product) + Product::kRoomToGrow);

std::string& NoteOf(void* object) {
  return *reinterpret_cast<std::string*>(static_cast<char*>(object) + kNoteAt);
}
double& MarkOf(void* object) {
  return *reinterpret_cast<double*>(static_cast<char*>(object) + kMarkAt);
}

int notes = 0;  // that exist
int throw_at = -1;

AppendedMember Note() {
  return {&Product::Class,
          &typeid(Product),
          "note",
          kNoteAt,
          kNewSize,
          [](void* object) {
            if (static_cast<Product*>(object)->price == throw_at) {
              throw std::runtime_error("no note");
            }
            ::new (&NoteOf(object)) std::string(
                std::to_string(static_cast<Product*>(object)->price) +
                ", which is long enough not to lie in the string");
            ++notes;
          },
          [](void* object) noexcept {
            std::destroy_at(&NoteOf(object));
            --notes;
          }};
}
AppendedMember Mark() {
  return {&Product::Class,
          &typeid(Product),
          "mark",
          kMarkAt,
          kNewSize,
          [](void* object) {
            if (static_cast<Product*>(object)->price == throw_at + 1) throw 1;
            MarkOf(object) = static_cast<double>(NoteOf(object).size());
          },
          [](void*) noexcept {}};
}

class AppendedMemberTest : public testing::Test {
 protected:
  void SetUp() override { throw_at = -1000; }

  MemberChange change{{Note(), Mark()}};
};

TEST_F(AppendedMemberTest, ThereAndBack) {
  std::vector<std::unique_ptr<Product>> products;
  for (int i = 0; i < 10000; ++i) {
    products.push_back(std::make_unique<Product>(i));
  }
  EXPECT_EQ(change.name(),
            "members note, mark of instar::(anonymous namespace)::Product");
  const absl::StatusOr<std::size_t> checked = change.Check();
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(*checked, 10000);
  ASSERT_EQ(change.Look(), MemberChange::Objects::kCanGrow);
  ASSERT_EQ(change.Apply(), absl::OkStatus());
  EXPECT_EQ(notes, 10000);
  for (const auto& product : products) {
    EXPECT_EQ(NoteOf(product.get()).find(std::to_string(product->price)), 0);
    EXPECT_EQ(MarkOf(product.get()), NoteOf(product.get()).size());
  }
  change.Undo();
  EXPECT_EQ(notes, 0);
  EXPECT_EQ(products[77]->price, 77);
}

// Whichever member of whichever object it is.
TEST_F(AppendedMemberTest, AnInitializerThatThrowsLeavesAllAsItWas) {
  std::vector<std::unique_ptr<Product>> products;
  for (int i = 0; i < 100; ++i) {
    products.push_back(std::make_unique<Product>(i));
  }
  ASSERT_TRUE(change.Check().ok());
  for (int i = -1; i < 100; ++i) {
    throw_at = i;
    const absl::Status status = change.Apply();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_EQ(status.message(), i == -1
                                    ? "the initializer of mark threw"
                                    : "the initializer of note threw no note")
        << i;
    EXPECT_EQ(notes, 0);
  }
  throw_at = 1000;
  ASSERT_EQ(change.Apply(), absl::OkStatus());
  change.Undo();
}

TEST_F(AppendedMemberTest, WaitsWhileOneIsOnAStack) {
  {
    const Product product(1);
    EXPECT_EQ(change.Look(), MemberChange::Objects::kOnStack);
  }
  EXPECT_EQ(change.Look(), MemberChange::Objects::kCanGrow);
}

TEST_F(AppendedMemberTest, SeesObjectsThatCannotGrow) {
  const auto array = std::make_unique<std::array<Product, 2>>(
      std::array<Product, 2>{Product(1), Product(2)});
  EXPECT_EQ(change.Look(), MemberChange::Objects::kElsewhere);
}

TEST_F(AppendedMemberTest, SeesObjectsOfSubclasses) {
  const auto toy = std::make_unique<Toy>();
  EXPECT_EQ(change.Look(), MemberChange::Objects::kOfOtherClass);
}

TEST_F(AppendedMemberTest, RefusesWhatHasNoRoom) {
  const auto product = std::make_unique<Product>(1);
  AppendedMember large = Mark();
  large.class_size = sizeof(Product) + 1000;
  const absl::Status status = MemberChange({large}).Check().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("have room for"), std::string::npos)
      << status;
}

}  // namespace

// As the next build has it.
class Order : public Updatable<Order> {
 public:
  int count = 2;
  double price = 0;
  int twice() const { return twice_; }

 private:
  int twice_ = 0;
};

}  // namespace instar

INSTAR_CONVERT(instar::Order, price, 1.5);
INSTAR_CONVERT(instar::Order, twice_,
               [](const instar::Order& order) { return 2 * order.count; });
// What the macro makes of it, under a name that the test knows.
INSTAR_CONVERT_(instar::Order, price, ValueOfPrice,
                [](instar::Order& order) { return 2.5 * order.count; });

namespace instar {
namespace {

TEST(InstarConvertTest, TellsOfAMember) {
  AppendedMember member = {};
  instar_generated_convert<&Order::price, ValueOfPrice>(&member);
  EXPECT_EQ(member.root(), Order::Class());
  EXPECT_EQ(*member.type, typeid(Order));
  EXPECT_STREQ(member.name, "price");
  EXPECT_EQ(member.class_size, sizeof(Order));
  Order order;
  EXPECT_EQ(member.begin, reinterpret_cast<char*>(&order.price) -
                              reinterpret_cast<char*>(&order));
  member.make(&order);
  EXPECT_EQ(order.price, 5);
  member.destroy(&order);
}

}  // namespace
}  // namespace instar
