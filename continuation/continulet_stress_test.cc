// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Nothing leaks or grows over many continulets, and threads do not disturb each
// other.

#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "continuation/continulet.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

#if defined(ABSL_HAVE_THREAD_SANITIZER) || defined(ABSL_HAVE_ADDRESS_SANITIZER)
constexpr int kCycles = 20000;  // a sanitizer takes 50 times as long
#else
constexpr int kCycles = 1000000;
#endif

void CreateAndCancel(int* unwound) {
  struct Counter {
    ~Counter() { ++*count; }
    int* count;
  };
  Continulet<int(int)> c("cycling", [unwound](auto& self, int first) {
    Counter counter{unwound};
    self.Switch(first);
    return 0;
  });
  c.Switch(1);
}

void CreateAndFinish() {
  Continulet<int(int)> c("cycling", [](auto&, int first) { return first; });
  c.Switch(1);
}

TEST(ContinuletStressTest, NoGrowthOverManyCycles) {
  int unwound = 0;
  CreateAndCancel(&unwound);  // warms the pool and the unwinder's caches up
  CreateAndFinish();
  const std::size_t mapped = GetStackPoolStats().mapped;
  const std::size_t heap = mallinfo2().uordblks;
  for (int i = 1; i < kCycles; ++i) {
    CreateAndCancel(&unwound);
    CreateAndFinish();
  }
  EXPECT_EQ(unwound, kCycles);
  EXPECT_EQ(GetStackPoolStats().mapped, mapped);
  EXPECT_EQ(mallinfo2().uordblks, heap);
}

// Each thread keeps a changing set of continulets in all states and checks what
// they answer.
void Churn(unsigned seed) {
  using Adder = Continulet<std::uint64_t(std::uint64_t)>;
  struct Entry {
    std::unique_ptr<Adder> adder;
    std::uint64_t sum = 0;
  };
  std::mt19937 random(seed);
  std::vector<Entry> entries(40);
  for (int step = 0; step < kCycles / 20; ++step) {
    Entry& entry = entries[random() % entries.size()];
    const unsigned action = random() % 10;
    if (entry.adder == nullptr || !entry.adder->is_pending()) {
      entry.sum = 0;
      entry.adder = std::make_unique<Adder>(
          "adder",
          [](Adder::Self& self, std::uint64_t value) {
            std::uint64_t sum = value;
            while (value != 0) {
              try {
                value = self.Switch(sum);
                sum += value;
              } catch (const std::runtime_error&) {
                sum += 1000;
              }
            }
            return sum;
          },
          action < 2 ? 32 << 10 : kDefaultStackSize);
    } else if (action == 0) {
      entry.adder = nullptr;  // new, or cancelled
    } else if (action == 1 && entry.adder->is_paused()) {
      entry.sum += 1000;
      ASSERT_EQ(entry.adder->Throw(std::runtime_error("more")), entry.sum);
    } else if (action == 2) {
      ASSERT_EQ(entry.adder->Switch(0), entry.sum);
      if (entry.sum != 0 || entry.adder->is_pending()) {
        ASSERT_FALSE(entry.adder->is_pending());
      }
    } else {
      const std::uint64_t value = random() % 100 + 1;
      entry.sum += value;
      ASSERT_EQ(entry.adder->Switch(value), entry.sum);
    }
  }
}

TEST(ContinuletStressTest, ThreadsChurnIndependently) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t) threads.emplace_back(Churn, t);
  for (std::thread& thread : threads) thread.join();
}

TEST(ContinuletStressTest, StacksOfEndedThreadsAreUsedAgain) {
  for (int round = 0; round < 3; ++round) {
    std::thread([] {
      for (int i = 0; i < 100; ++i) CreateAndFinish();
    }).join();
  }
  const std::size_t mapped = GetStackPoolStats().mapped;
  for (int round = 0; round < 100; ++round) {
    std::thread([] { CreateAndFinish(); }).join();
  }
  EXPECT_EQ(GetStackPoolStats().mapped, mapped);
}

TEST(ContinuletStressTest, HandsNewContinuletsFromThreadToThread) {
  std::atomic<int> sum{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 50; ++i) {
    auto c = std::make_unique<Continulet<int()>>("handed", [i](auto& self) {
      self.Switch(0);
      return i;
    });
    threads.emplace_back([&sum, c = std::move(c)] {
      c->Switch();
      sum += c->Switch();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 50 * 49 / 2);
}

}  // namespace
}  // namespace instar
