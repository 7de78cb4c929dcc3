// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program with a dl_iterate_phdr() of its own, which finds nothing.

#include "base/linux/loaded_objects.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "base/at_fork.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
extern "C" int dl_iterate_phdr(int (*)(dl_phdr_info*, size_t, void*), void*) {
  return 0;
}
#endif

namespace instar {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

int AddName(dl_phdr_info* info, size_t, void* names) {
  static_cast<std::vector<std::string>*>(names)->push_back(info->dlpi_name);
  return 0;
}

TEST(LoadedObjectsTest, AreAllThere) {
  std::vector<std::string> names;
  EXPECT_EQ(ForEachLoadedObject(&AddName, &names), 0);
  ASSERT_GT(names.size(), 2u);
  EXPECT_EQ(names.front(), "") << "the program";
  EXPECT_THAT(names, Contains(HasSubstr("libc.so")));
}

TEST(LoadedObjectsTest, VisitEndsWithWhatIsReturned) {
  int calls = 0;
  EXPECT_EQ(ForEachLoadedObject(
                [](dl_phdr_info*, size_t, void* calls) {
                  ++*static_cast<int*>(calls);
                  return 7;
                },
                &calls),
            7);
  EXPECT_EQ(calls, 1);
}

// glibc does not take the lock of its list around fork(): a child that came
// while another thread was inside would wait for it for ever.
TEST(LoadedObjectsTest, AreThereInAChild) {
  ASSERT_EQ(ForkGeneration(), 0u);
  std::atomic<bool> stop{false};
  std::atomic<int> visits{0};
  std::thread visitor([&] {
    while (!stop) {
      ForEachLoadedObject(
          [](dl_phdr_info*, size_t, void* visits) {
            ++*static_cast<std::atomic<int>*>(visits);
            for (int i = 0; i < 20; ++i) sched_yield();
            return 0;
          },
          &visits);
    }
  });
  int stuck = 0;
  for (int i = 0; i < 20 && stuck < 2; ++i) {
    const int seen = visits;
    while (visits == seen) sched_yield();
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(5);  // ends one that waits for ever
      std::vector<std::string> names;
      ForEachLoadedObject(&AddName, &names);
      _exit(names.size() > 2 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
      ++stuck;
    } else {
      EXPECT_EQ(status, 0);
    }
  }
  stop = true;
  visitor.join();
  EXPECT_EQ(stuck, 0);
}

}  // namespace
}  // namespace instar
