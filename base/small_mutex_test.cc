// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/small_mutex.h"

#include <cerrno>
#include <mutex>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace instar {
namespace {

static_assert(sizeof(SmallMutex) == 4);

TEST(SmallMutexTest, OneAtATime) {
  SmallMutex mutex;
  int count = 0;  // under mutex
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      errno = EDOM;
      for (int n = 0; n < 20000; ++n) {
        std::lock_guard<SmallMutex> lock(mutex);
        ++count;
      }
      EXPECT_EQ(errno, EDOM);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 80000);
}

TEST(SmallMutexTest, TryLock) {
  SmallMutex mutex;
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST(SmallMutexTest, WhoeverWaitsIsWoken) {
  SmallMutex mutex;
  mutex.lock();
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] { std::lock_guard<SmallMutex> lock(mutex); });
  }
  std::this_thread::yield();
  mutex.unlock();
  for (std::thread& thread : threads) thread.join();
}

TEST(SmallMutexTest, AThreadMayOwnMany) {
  std::vector<SmallMutex> mutexes(1000);
  for (SmallMutex& mutex : mutexes) mutex.lock();
  for (SmallMutex& mutex : mutexes) mutex.unlock();
}

}  // namespace
}  // namespace instar
