// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/small_mutex.h"

#include <mutex>
#include <thread>
#include <vector>

#include "base/testing/one_at_a_time.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

static_assert(sizeof(SmallMutex) == 4);

TEST(SmallMutexTest, OneAtATime) {
  SmallMutex mutex;
  ExpectOneAtATime(mutex);
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
