// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What every mutex does.

#ifndef INSTAR_BASE_TESTING_ONE_AT_A_TIME_H_
#define INSTAR_BASE_TESTING_ONE_AT_A_TIME_H_

#include <cerrno>
#include <mutex>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace instar {

// One thread at a time has it, and errno stays as it was; then one that tries.
template <typename Mutex>
void ExpectOneAtATime(Mutex& mutex) {
  int count = 0;  // under mutex
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      errno = EDOM;
      for (int n = 0; n < 20000; ++n) {
        std::lock_guard<Mutex> lock(mutex);
        ++count;
      }
      EXPECT_EQ(errno, EDOM);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 80000);
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
}

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_ONE_AT_A_TIME_H_
