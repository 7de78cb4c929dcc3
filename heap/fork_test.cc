// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A child of fork() makes and destroys objects, whatever the other threads of
// its parent were doing with theirs.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
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

}  // namespace
}  // namespace instar
