// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/fork_mutex.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/testing/one_at_a_time.h"
#include "base/testing/sanitizers.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

static_assert(std::is_trivially_destructible_v<ForkGuarded<std::vector<int>>>);
static_assert(std::is_trivially_destructible_v<ForkOnce<std::vector<int>>>);

// Whether `function` returns true in a child that ends within a minute.
bool IsTrueInChild(const std::function<bool()>& function) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(function() ? 0 : 1);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

// A thread that is in the middle of something.
class Elsewhere {
 public:
  explicit Elsewhere(std::function<void(std::function<void()> wait)> function)
      : thread_([this, function] {
          function([this] {
            is_there_ = true;
            while (!go_on_) std::this_thread::yield();
          });
        }) {
    while (!is_there_) std::this_thread::yield();
  }
  ~Elsewhere() {
    go_on_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> is_there_{false}, go_on_{false};
  std::thread thread_;
};

TEST(ForkMutexTest, OneAtATime) {
  ForkMutex mutex;
  ExpectOneAtATime(mutex);
  EXPECT_FALSE(mutex.WasLostInFork());
}

TEST(ForkMutexTest, IsFreeInAChildIfAnotherThreadOwnsIt) {
  INSTAR_SKIP_UNDER_TSAN(kNoThreadsInAChild);
  ForkMutex mutex;
  std::thread waits;
  {
    const Elsewhere owner([&](const auto& wait) {
      std::lock_guard<ForkMutex> lock(mutex);
      wait();
    });
    waits = std::thread([&] { std::lock_guard<ForkMutex> lock(mutex); });
    EXPECT_FALSE(mutex.try_lock());
    EXPECT_TRUE(IsTrueInChild([&] {
      mutex.lock();
      const bool lost = mutex.WasLostInFork() && !mutex.WasLostInFork();
      // It is as any other from here on, in the child's own children, too.
      bool excludes = true;
      std::thread([&] { excludes = !mutex.try_lock(); }).join();
      std::thread also_waits([&] { std::lock_guard<ForkMutex> lock(mutex); });
      mutex.unlock();
      also_waits.join();
      return lost && excludes && IsTrueInChild([&] {
               std::lock_guard<ForkMutex> lock(mutex);
               return !mutex.WasLostInFork();
             });
    }));
    EXPECT_FALSE(mutex.try_lock());
  }
  waits.join();
}

TEST(ForkMutexTest, WhoeverOwnsItMayFork) {
  ForkMutex mutex;
  mutex.lock();
  EXPECT_TRUE(IsTrueInChild([&] {
    mutex.unlock();
    std::lock_guard<ForkMutex> lock(mutex);
    return !mutex.WasLostInFork();
  }));
  mutex.unlock();
}

TEST(ForkGuardedTest, IsMadeAnewIfItMayBeHalfChanged) {
  static ForkGuarded<std::vector<int>> guarded;
  guarded.Lock()->push_back(1);
  EXPECT_TRUE(IsTrueInChild([] { return guarded.Lock()->size() == 1; }));
  const std::vector<int>& before = *guarded.Lock();
  const Elsewhere owner([&](const auto& wait) {
    const auto access = guarded.Lock();
    access->push_back(2);
    wait();
  });
  EXPECT_TRUE(IsTrueInChild([&] {
    if (!guarded.Lock()->empty() || before.size() != 2) return false;
    guarded.Lock()->push_back(3);
    return guarded.Lock()->size() == 1;
  }));
}

TEST(ForkOnceTest, IsMadeOnceAndInAChildOfAProcessThatWasMakingIt) {
  static ForkOnce<int> once;
  static std::atomic<int> made{0};
  {
    const Elsewhere maker([&](const auto& wait) {
      EXPECT_EQ(once.Get([&] {
        wait();
        return ++made;
      }),
                1);
    });
    EXPECT_TRUE(IsTrueInChild([] {
      return once.Get([] { return 7; }) == 7 && once.Get([] { return 8; }) == 7;
    }));
  }
  EXPECT_EQ(once.Get([] { return 9; }), 1);
}

}  // namespace
}  // namespace instar
