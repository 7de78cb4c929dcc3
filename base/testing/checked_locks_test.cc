// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <mutex>
#include <shared_mutex>

#include "absl/synchronization/mutex.h"
#include "base/no_allocation.h"
#include "gtest/gtest.h"

namespace instar {

std::mutex mutex;
std::shared_mutex shared_mutex;
absl::Mutex absl_mutex(absl::kConstInit);

// Of external linkage: they are named.
void LockHere() { std::lock_guard<std::mutex> lock(mutex); }
void ReadHere() { std::shared_lock<std::shared_mutex> lock(shared_mutex); }
void WriteHere() { std::lock_guard<std::shared_mutex> lock(shared_mutex); }
void LockAbslHere() { absl::MutexLock lock(&absl_mutex); }
void ReadAbslHere() { absl::ReaderMutexLock lock(&absl_mutex); }

namespace {

void RunAsMechanism(void (*function)()) {
  const NoAllocation others_are_held;
  const AuthorsPart part("swap the table");
  const AuthorsCode its_own;
  function();
}

TEST(CheckedLocksDeathTest, EndsAMechanismThatTakesALock) {
  EXPECT_DEATH(RunAsMechanism(&LockHere),
               "swap the table takes a lock of the program .*: "
               "pthread_mutex_lock\\(.*called by instar::LockHere");
  EXPECT_DEATH(RunAsMechanism(&ReadHere),
               "pthread_rwlock_rdlock\\(.*called by instar::ReadHere");
  EXPECT_DEATH(RunAsMechanism(&WriteHere),
               "pthread_rwlock_wrlock\\(.*called by instar::WriteHere");
  EXPECT_DEATH(RunAsMechanism(&LockAbslHere),
               "absl::Mutex::Lock\\(.*called by instar::LockAbslHere");
  EXPECT_DEATH(RunAsMechanism(&ReadAbslHere),
               "absl::Mutex::ReaderLock\\(.*called by instar::ReadAbslHere");
}

TEST(CheckedLocksTest, AllElseIsAllowed) {
  LockHere();
  ReadHere();
  WriteHere();
  LockAbslHere();
  ReadAbslHere();
  RunAsMechanism([] {
    if (mutex.try_lock()) mutex.unlock();
    const AuthorsPart none_is_held(nullptr);
    LockHere();
  });
  // The library has locks of its own, which no thread is held with.
  const NoAllocation others_are_held;
  LockHere();
}

}  // namespace
}  // namespace instar
