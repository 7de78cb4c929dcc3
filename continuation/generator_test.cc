// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/generator.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(GeneratorTest, YieldsEveryElementInOrder) {
  Generator<int> squares("squares", [](auto& yield) {
    for (int i = 1; i <= 4; ++i) yield(i * i);
  });
  std::vector<int> elements(squares.begin(), squares.end());
  EXPECT_THAT(elements, ElementsAre(1, 4, 9, 16));
  EXPECT_EQ(squares.begin(), squares.end());
}

TEST(GeneratorTest, MayBeEmpty) {
  Generator<int> none("none", [](auto&) {});
  EXPECT_THAT(std::vector<int>(none.begin(), none.end()), IsEmpty());
}

TEST(GeneratorTest, ElementsMayBeMovedOutAndChanged) {
  Generator<std::unique_ptr<int>> owners("owners", [](auto& yield) {
    for (int i = 0; i < 3; ++i) yield(std::make_unique<int>(i));
  });
  std::vector<std::unique_ptr<int>> taken;
  for (std::unique_ptr<int>& owner : owners) taken.push_back(std::move(owner));
  EXPECT_EQ(*taken[2], 2);

  int counter = 0;
  Generator<int> counting("counting", [&](auto& yield) {
    while (counter < 10) yield(counter);
  });
  for (int& c : counting) c += 4;  // what the body sees
  EXPECT_EQ(counter, 12);
}

TEST(GeneratorTest, ConstElements) {
  const std::vector<std::string> words = {"a", "b"};
  Generator<const std::string> all("words", [&](auto& yield) {
    for (const std::string& word : words) yield(word);
    yield("c");
  });
  std::string joined;
  for (const std::string& word : all) joined += word;
  EXPECT_EQ(joined, "abc");
}

TEST(GeneratorTest, AnEarlierLoopsEndIsTheNextOnesBeginning) {
  Generator<int> naturals("naturals", [](auto& yield) {
    for (int i = 0;; ++i) yield(i);
  });
  for (const int n : naturals) {
    if (n == 3) break;
  }
  EXPECT_EQ(*naturals.begin(), 4);
}

TEST(GeneratorTest, AnExceptionOfTheBodyArrivesInTheLoop) {
  Generator<int> failing("failing", [](auto& yield) {
    yield(1);
    throw std::runtime_error("no more");
  });
  int seen = 0;
  EXPECT_THROW(
      for (const int n
           : failing) { seen = n; },
      std::runtime_error);
  EXPECT_EQ(seen, 1);
}

TEST(GeneratorTest, AFunctionMayBeTheBody) {
  void (*body)(Generator<int>::Yield&) = [](Generator<int>::Yield& yield) {
    yield(1);
    yield(2);
  };
  Generator<int> pointed("pointed", body);
  Generator<int> moved = std::move(pointed);
  EXPECT_THAT(std::vector<int>(moved.begin(), moved.end()), ElementsAre(1, 2));
}

TEST(GeneratorDeathTest, GoingOnAfterTheEndNamesTheGenerator) {
  Generator<int> once("once", [](auto& yield) { yield(1); });
  auto first = once.begin();
  auto second = once.begin();  // takes the body to its end
  EXPECT_EQ(second, once.end());
  EXPECT_DEATH(++first,
               "continulet 'once' cannot be switched to: it is finished");
}

struct Node {
  int value;
  std::unique_ptr<Node> left;
  std::unique_ptr<Node> right;
};

void Walk(const Node* node, Generator<const int>::Yield& yield) {
  if (node == nullptr) return;
  Walk(node->left.get(), yield);
  yield(node->value);
  Walk(node->right.get(), yield);
}

TEST(GeneratorTest, YieldsFromWithinARecursion) {
  auto leaf = [](int value) {
    return std::unique_ptr<Node>(new Node{value, nullptr, nullptr});
  };
  const Node root{2, leaf(1), leaf(3)};
  Generator<const int> walk("walk", [&](auto& yield) { Walk(&root, yield); });
  EXPECT_THAT(std::vector<int>(walk.begin(), walk.end()), ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace instar
