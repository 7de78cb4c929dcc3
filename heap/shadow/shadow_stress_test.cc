// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads attach to objects and look them up while others make and destroy
// theirs.
//
// INSTAR_STRESS_ROUNDS in the environment: how many rounds each thread makes
// (the default is a second's worth, a few under the sanitizers).

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "base/testing/hammer.h"
#include "gtest/gtest.h"
#include "heap/shadow/shadow.h"
#include "heap/updatable.h"

namespace instar {
namespace {

struct Product : Updatable<Product> {};
struct Plain {};

// Says of what it was attached to; all but one byte of it would be wrong if it
// were another one's, or if it were read before it was made.
struct Data {
  explicit Data(const void* o) : object(o), check(~Bits(o)) { ++live; }
  ~Data() {
    check = 0;
    --live;
  }
  Data(const Data&) = delete;
  bool IsOf(const void* o) const { return object == o && check == ~Bits(o); }
  static std::uintptr_t Bits(const void* o) {
    return reinterpret_cast<std::uintptr_t>(o);
  }

  const void* object;
  std::uintptr_t check;
  static inline std::atomic<long> live{0};
};

Shadow<Data> first("first");
Shadow<Data> second("second");

int Rounds() {
  const char* const wanted = std::getenv("INSTAR_STRESS_ROUNDS");
  return wanted == nullptr ? 3000 : std::atoi(wanted);
}

class ShadowStressTest : public testing::Test {
 protected:
  ShadowStressTest() { EXPECT_EQ(Data::live, 0); }
  ~ShadowStressTest() override {
    first.End();
    second.End();
    EXPECT_EQ(Data::live, 0);
  }
};

template <typename Body>
void InThreads(int count, Body body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (std::thread& thread : threads) thread.join();
}

// Objects that all threads know are found all the time, whatever others move in
// the table.
TEST_F(ShadowStressTest, WhatStaysIsFoundWhileOthersComeAndGo) {
  std::vector<Plain> known(200);
  for (const Plain& plain : known) first.Attach(&plain, &plain);
  std::atomic<long> wrong{0};
  {
    const Hammer readers(2, [&] {
      for (const Plain& plain : known) {
        const Data* const found = first.Find(&plain);
        if (found == nullptr || !found->IsOf(&plain)) ++wrong;
      }
    });
    InThreads(2, [&](int seed) {
      std::mt19937 random(static_cast<unsigned>(seed));
      for (int round = 0; round < Rounds() / 10; ++round) {
        // More and fewer: the table grows meanwhile.
        std::vector<Plain> own(1 + random() % 500);
        for (const Plain& plain : own) first.Attach(&plain, &plain);
        for (const Plain& plain : own) {
          const Data* const found = first.Find(&plain);
          if (found == nullptr || !found->IsOf(&plain)) ++wrong;
          if (!first.Detach(&plain)) ++wrong;
          if (first.Find(&plain) != nullptr) ++wrong;
        }
      }
    });
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(first.size(), known.size());
}

// All get the same one.
TEST_F(ShadowStressTest, OneIsAttachedByMany) {
  constexpr int kThreads = 4;
  const int rounds = Rounds() / 3;
  std::vector<Product> products(static_cast<std::size_t>(rounds));
  std::vector<std::vector<Data*>> found(
      kThreads, std::vector<Data*>(static_cast<std::size_t>(rounds)));
  InThreads(kThreads, [&](int self) {
    for (std::size_t i = 0; i < products.size(); ++i) {
      found[static_cast<std::size_t>(self)][i] =
          &first.FindOrAttach(&products[i], &products[i]);
    }
  });
  for (int i = 1; i < kThreads; ++i) EXPECT_EQ(found[i], found[0]);
  EXPECT_EQ(first.size(), products.size());
  EXPECT_EQ(Data::live, static_cast<long>(products.size()));
  products.clear();
  EXPECT_EQ(Data::live, 0);
}

// Objects go from thread to thread, and end in another one than they began in;
// each address is used again and again.
TEST_F(ShadowStressTest, EndsWithObjectsOfAllThreads) {
  std::atomic<Product*> passed[8] = {};
  std::atomic<long> wrong{0};
  InThreads(4, [&](int seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    for (int round = 0; round < Rounds(); ++round) {
      auto* const product = new Product;
      if (first.Find(product) != nullptr || second.Find(product) != nullptr) {
        ++wrong;  // of one before it
      }
      if (random() % 4 != 0) first.Attach(product, product);
      if (random() % 2 != 0) second.Attach(product, product);
      delete passed[random() % 8].exchange(product);
    }
  });
  for (auto& product : passed) delete product.load();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(first.size(), 0u);
  EXPECT_EQ(second.size(), 0u);
}

TEST_F(ShadowStressTest, AllAreDetachedWhileOthersAttach) {
  std::atomic<bool> done{false};
  std::thread detaching([&] {
    while (!done) {
      first.DetachAll();
      std::this_thread::yield();
    }
  });
  InThreads(3, [&](int) {
    for (int round = 0; round < Rounds() / 10; ++round) {
      std::vector<std::unique_ptr<Product>> products(64);
      for (auto& product : products) {
        product = std::make_unique<Product>();
        first.Attach(product.get(), product.get());
      }
    }
  });
  done = true;
  detaching.join();
  EXPECT_EQ(first.size(), 0u);
}

// Shadows that begin and end while objects do.
TEST_F(ShadowStressTest, ShadowsComeAndGo) {
  const Hammer objects(2, [] {
    const auto product = std::make_unique<Product>();
    first.Attach(product.get(), product.get());
  });
  for (int round = 0; round < Rounds(); ++round) {
    Shadow<Data> own("own");
    Product product;
    own.Attach(&product, &product);
    if (round % 2 == 0) own.End();
    DetachShadows(&product);
    own.End();
  }
}

}  // namespace
}  // namespace instar
