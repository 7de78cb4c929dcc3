// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/shadow/release_at_free.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "heap/shadow/shadow.h"

namespace instar {
namespace {

struct Plain {
  virtual ~Plain() = default;
  int value = 0;
};
struct Derived : Plain {
  std::string more = "more";
};
struct alignas(128) Aligned {
  char bytes[128];
};

struct Counted {
  Counted() { ++live; }
  ~Counted() { --live; }
  static inline std::atomic<int> live{0};
};

Shadow<Counted> counted("counted");

class ReleaseAtFreeTest : public testing::Test {
 protected:
  ~ReleaseAtFreeTest() override { counted.End(); }
};

TEST_F(ReleaseAtFreeTest, EndsWithFree) {
  void* const memory = std::malloc(64);
  void* const other = std::malloc(64);
  counted.Attach(memory);
  counted.Attach(other);
  std::free(memory);
  EXPECT_EQ(Counted::live, 1);
  EXPECT_NE(counted.Find(other), nullptr);
  std::free(other);
  EXPECT_EQ(Counted::live, 0);
  std::free(nullptr);
}

TEST_F(ReleaseAtFreeTest, EndsWithDelete) {
  auto plain = std::make_unique<Plain>();
  std::unique_ptr<Plain> derived = std::make_unique<Derived>();
  auto aligned = std::make_unique<Aligned>();
  auto shared = std::shared_ptr<Plain>(new Plain);
  auto* const array = new int[10];
  counted.Attach(plain.get());
  counted.Attach(derived.get());
  counted.Attach(aligned.get());
  counted.Attach(shared.get());
  counted.Attach(array);
  EXPECT_EQ(Counted::live, 5);
  plain.reset();
  EXPECT_EQ(Counted::live, 4);
  derived.reset();
  EXPECT_EQ(Counted::live, 3);
  aligned.reset();
  EXPECT_EQ(Counted::live, 2);
  shared.reset();
  EXPECT_EQ(Counted::live, 1);
  delete[] array;
  EXPECT_EQ(Counted::live, 0);
}

TEST_F(ReleaseAtFreeTest, EndsWithRealloc) {
  void* memory = std::malloc(16);
  counted.Attach(memory);
  memory = std::realloc(memory, 1 << 20);
  EXPECT_EQ(Counted::live, 0);
  counted.Attach(memory);
  memory = reallocarray(memory, 1, 16);
  EXPECT_EQ(Counted::live, 0);
  std::free(memory);
}

// What is attached may have memory of its own.
TEST_F(ReleaseAtFreeTest, FreesWhatItEnds) {
  struct Holder {
    std::unique_ptr<Plain> plain = std::make_unique<Plain>();
    std::string text = std::string(1000, 'x');
  };
  static Shadow<Holder> holders("holders");
  void* const memory = std::malloc(16);
  Holder& holder = holders.FindOrAttach(memory);
  counted.Attach(holder.plain.get());
  std::free(memory);
  EXPECT_EQ(holders.size(), 0u);
  EXPECT_EQ(Counted::live, 0);
  holders.End();
}

TEST_F(ReleaseAtFreeTest, ManyThreads) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20000; ++round) {
        const auto plain = std::make_unique<Plain>();
        if (counted.Find(plain.get()) != nullptr) ++wrong;
        if (round % 4 == 0) counted.Attach(plain.get());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(Counted::live, 0);
}

}  // namespace
}  // namespace instar
