// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A child of fork() finds, attaches and detaches, whatever the other threads of
// its parent were doing.

#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "base/testing/hammer.h"
#include "gtest/gtest.h"
#include "heap/shadow/shadow.h"
#include "heap/updatable.h"

namespace instar {
namespace {

struct Product : Updatable<Product> {};
struct Plain {};
struct Data {
  const void* object;
};

Shadow<Data> first("first");
Shadow<Data> second("second");

TEST(ShadowForkTest, ChildrenFindAttachAndDetach) {
  const Plain kept;
  first.Attach(&kept, &kept);
  Hammer hammer(3, [] {
    const auto product = std::make_unique<Product>();
    first.Attach(product.get(), product.get());
    second.Replace(product.get(), product.get());
    second.Detach(product.get());
  });
  for (int i = 0; i < 100; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(60);  // ends a child that waits for ever
      const Data* const found = first.Find(&kept);
      if (found == nullptr || found->object != &kept) _exit(1);
      Plain plains[64];
      for (const Plain& plain : plains) {
        if (first.Attach(&plain, &plain) == nullptr) _exit(2);
      }
      for (const Plain& plain : plains) {
        if (!first.Detach(&plain)) _exit(3);
      }
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  hammer.Stop();
  first.End();
  second.End();
}

}  // namespace
}  // namespace instar
