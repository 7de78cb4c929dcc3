// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linker_gate.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/at_fork.h"
#include "base/testing/child_process.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

std::atomic<bool> is_changing{false};

// fork() never comes while a thread is inside, and all go on afterwards.
TEST(LinkerGateTest, ForkComesBetweenStays) {
  ASSERT_EQ(ForkGeneration(), 0u);
  std::atomic<bool> stop{false};
  std::atomic<int> stays{0};
  std::thread stayer([&] {
    while (!stop) {
      {
        const LinkerGate gate;
        const LinkerGate inner;
        is_changing = true;
        // Few: fork() waits a second at most, and a busy machine may take long.
        for (int i = 0; i < 5; ++i) sched_yield();
        is_changing = false;
      }
      ++stays;
    }
  });
  int in_the_middle = 0;
  for (int i = 0; i < 50; ++i) {
    const int seen = stays;
    while (stays == seen) std::this_thread::yield();
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Nobody is inside.
      alarm(60);
      const LinkerGate gate;
      const pid_t grandchild = fork();
      if (grandchild == 0) _exit(is_changing ? 1 : 0);
      int status = -1;
      waitpid(grandchild, &status, 0);
      _exit(WEXITSTATUS(status));
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << status;
    in_the_middle += WEXITSTATUS(status);
  }
  stop = true;
  stayer.join();
  EXPECT_EQ(in_the_middle, 0);
}

TEST(LinkerGateTest, WhoIsInsideMayFork) {
  const LinkerGate gate;
  EXPECT_EQ(InAChild([] {
              const LinkerGate inner;
              return 0;
            }),
            0);
}

// It may wait for the thread that forks.
TEST(LinkerGateTest, ForkDoesNotWaitForEver) {
  std::atomic<bool> is_inside{false};
  std::atomic<bool> forked{false};
  std::thread stayer([&] {
    const LinkerGate gate;
    is_inside = true;
    while (!forked) std::this_thread::yield();
  });
  while (!is_inside) std::this_thread::yield();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);
    { const LinkerGate inner; }
    _exit(0);
  }
  forked = true;
  stayer.join();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const LinkerGate gate;  // it is open again
}

}  // namespace
}  // namespace instar
