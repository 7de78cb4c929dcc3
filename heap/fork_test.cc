// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A child of fork() makes and destroys objects, whatever the other threads of
// its parent were doing with theirs, and converts and takes back.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/sanitizers.h"
#include "gtest/gtest.h"
#include "heap/conversion.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"

namespace instar {
namespace {

class Product : public Updatable<Product> {
 public:
  std::string name = "apple";
};

class Basket : public Updatable<Basket> {
 public:
  Product products[3];
};

class Large : public Updatable<Large> {
 public:
  char bytes[32 * 1024] = {};
};

// In slabs, in slabs by size, outside of them; freed by the thread that made
// them and, through `passed`, by others.
void MakeAndDestroy(std::atomic<Product*>* passed) {
  delete new Product;
  delete[] new Product[3];
  delete new Basket;
  delete new Large;
  Product local;
  delete passed->exchange(new Product);
  std::vector<std::unique_ptr<Product>> many;
  for (int i = 0; i < 8; ++i) many.push_back(std::make_unique<Product>());
}

TEST(ForkTest, ChildMakesAndDestroysObjects) {
  std::atomic<bool> done{false};
  std::atomic<Product*> passed{nullptr};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!done) MakeAndDestroy(&passed);
    });
  }
  int stuck = 0;
  int forks = 0;
  for (; forks < 200 && stuck < 3; ++forks) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(60);  // ends a child that waits for ever
      for (int n = 0; n < 200; ++n) MakeAndDestroy(&passed);
      WeakObjectPool<Product>().Counts();
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
      ++stuck;
    } else {
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    }
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  delete passed.load();
  EXPECT_EQ(stuck, 0) << "of " << forks << " children";
}

// Its conversion does not return until it is told to.
std::atomic<bool> is_converting{false};
std::atomic<bool> may_return{false};

struct Slow : Updatable<Slow> {
  virtual int Version() const { return 1; }
  bool blocks = false;
};
struct SlowV2 : Slow {
  explicit SlowV2(Slow&& old) noexcept : Slow(std::move(old)) {}
  int Version() const override { return 2; }
  absl::Status Convert() {
    if (blocks) {
      is_converting = true;
      while (!may_return) std::this_thread::yield();
    }
    return absl::OkStatus();
  }
};
struct SlowV3 : SlowV2 {
  explicit SlowV3(SlowV2&& old) noexcept : SlowV2(std::move(old)) {}
  int Version() const override { return 3; }
};

// An object that another thread was converting when the process forked is left
// alone in the child, whatever is done there to the others.
TEST(ForkTest, ChildLeavesAloneWhatWasBeingConverted) {
  INSTAR_SKIP_UNDER_TSAN("a child makes no threads there");
  auto change = LazyConversion<Slow, SlowV2>();
  ASSERT_TRUE(change->Prepare().ok());
  LazyProxy<Slow> stuck(new Slow);
  LazyProxy<Slow> other(new Slow);
  LazyProxy<Slow> later(new Slow);
  stuck.address()->blocks = true;
  ASSERT_TRUE(change->Apply().ok());
  ASSERT_EQ(other->Version(), 2);
  std::thread converter([&] { stuck.get(); });
  while (!is_converting) std::this_thread::yield();
  using Do = int (*)(ConversionStep & change, LazyProxy<Slow> & stuck,
                     LazyProxy<Slow> & other, LazyProxy<Slow> & later);
  // Each answers 0 if all is well.
  constexpr Do kWhatChildrenDo[] = {
      // Takes back.
      [](ConversionStep& change, LazyProxy<Slow>&, LazyProxy<Slow>& other,
         LazyProxy<Slow>&) {
        if (!change.Undo().ok()) return 1;
        return other->Version() == 1 ? 0 : 2;
      },
      // Uses it, which is not supported, but waits for nobody.
      [](ConversionStep&, LazyProxy<Slow>& stuck, LazyProxy<Slow>&,
         LazyProxy<Slow>& later) {
        stuck.get();
        return later->Version() == 2 ? 0 : 1;
      },
      // Converts another, then takes back, and converts again.
      [](ConversionStep& change, LazyProxy<Slow>&, LazyProxy<Slow>& other,
         LazyProxy<Slow>& later) {
        if (later->Version() != 2) return 1;
        if (WeakObjectPool<Slow>().Counts().being_converted != 1) return 2;
        if (!change.Undo().ok()) return 3;
        auto again = EagerConversion<Slow, SlowV2>();
        if (!again->Prepare().ok()) return 4;
        if (!again->Apply().ok()) return 5;
        if (later->Version() != 2 || other->Version() != 2) return 6;
        return again->Undo().ok() ? 0 : 7;
      },
      // Converts to the version after it, eagerly.
      [](ConversionStep&, LazyProxy<Slow>&, LazyProxy<Slow>& other,
         LazyProxy<Slow>& later) {
        auto next = EagerConversion<SlowV2, SlowV3>();
        if (!next->Prepare().ok()) return 1;
        if (!next->Apply().ok()) return 2;
        if (later->Version() != 3 || other->Version() != 3) return 3;
        if (WeakObjectPool<Slow>().Counts().being_converted != 1) return 4;
        return next->Undo().ok() ? 0 : 5;
      },
      // The same by several threads.
      [](ConversionStep&, LazyProxy<Slow>&, LazyProxy<Slow>& other,
         LazyProxy<Slow>& later) {
        ConversionOptions options;
        options.threads = 2;
        auto next = EagerConversion<SlowV2, SlowV3>(options);
        if (!next->Prepare().ok()) return 1;
        if (!next->Apply().ok()) return 2;
        return later->Version() == 3 && other->Version() == 3 ? 0 : 3;
      },
      // In a child of its own.
      [](ConversionStep& change, LazyProxy<Slow>&, LazyProxy<Slow>& other,
         LazyProxy<Slow>&) {
        const pid_t child = fork();
        if (child == 0) {
          alarm(10);
          if (!change.Undo().ok()) _exit(1);
          _exit(other->Version() == 1 ? 0 : 2);
        }
        int status = -1;
        waitpid(child, &status, 0);
        return status == 0 ? 0 : 1;
      },
  };
  int number = 0;
  for (const Do what : kWhatChildrenDo) {
    ++number;
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(10);  // ends a child that waits for ever
      _exit(what(*change, stuck, other, later));
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_FALSE(WIFSIGNALED(status))
        << "child " << number << ": signal " << WTERMSIG(status);
    EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : 0, 0)
        << "child " << number;
  }
  may_return = true;
  converter.join();
  // Here it goes on.
  EXPECT_EQ(stuck->Version(), 2);
  EXPECT_TRUE(change->Undo().ok());
  EXPECT_EQ(stuck->Version(), 1);
  stuck.Delete();
  other.Delete();
  later.Delete();
}

// Who forks in a Convert() goes on with it in the child.
struct Forking : Updatable<Forking> {
  virtual int Version() const { return 1; }
};
pid_t forked = -1;
struct ForkingV2 : Forking {
  explicit ForkingV2(Forking&& old) noexcept : Forking(std::move(old)) {}
  int Version() const override { return 2; }
  absl::Status Convert() {
    forked = fork();
    return absl::OkStatus();
  }
};

TEST(ForkTest, ChildGoesOnWithItsOwnConversion) {
  auto change = LazyConversion<Forking, ForkingV2>();
  ASSERT_TRUE(change->Prepare().ok());
  LazyProxy<Forking> object(new Forking);
  ASSERT_TRUE(change->Apply().ok());
  const bool is_converted = object->Version() == 2;
  if (forked == 0) {
    alarm(10);
    const bool is_undone = change->Undo().ok() && object->Version() == 1;
    _exit(is_converted && is_undone ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(forked, &status, 0), forked);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(is_converted);
  EXPECT_TRUE(change->Undo().ok());
  object.Delete();
}

}  // namespace
}  // namespace instar
