// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/lock_owner.h"

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace updates_internal {
namespace {

pid_t OwnTid() { return static_cast<pid_t>(syscall(SYS_gettid)); }

TEST(LockOwnerTest, TheOwnerOfAMutexIsNamed) {
  std::mutex mutex;
  std::unique_lock<std::mutex> owns(mutex);
  std::atomic<pid_t> waiter{0};
  std::thread thread([&] {
    waiter = OwnTid();
    const std::lock_guard<std::mutex> lock(mutex);
  });
  LockOwner owner;
  while (owner.tid == 0) owner = FindLockOwner(waiter);
  EXPECT_EQ(owner.tid, OwnTid());
  EXPECT_THAT(Describe(owner),
              testing::HasSubstr("waits for a lock that thread " +
                                 std::to_string(OwnTid()) + " ('lock_owner"));
  owns.unlock();
  thread.join();
}

TEST(LockOwnerTest, AThreadThatWaitsForNothingOrForSomethingElse) {
  EXPECT_EQ(FindLockOwner(OwnTid()).tid, 0);
  EXPECT_EQ(FindLockOwner(0x3fffffff).tid, 0);
  EXPECT_EQ(Describe(LockOwner()), "");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<pid_t> waiter{0};
  std::thread thread([&] {
    waiter = OwnTid();
    char byte;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
  });
  while (waiter == 0) std::this_thread::yield();
  EXPECT_EQ(FindLockOwner(waiter).tid, 0);
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  thread.join();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace updates_internal
}  // namespace instar
