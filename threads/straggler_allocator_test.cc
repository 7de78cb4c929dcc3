// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whoever holds threads may allocate: none of them is in the allocator,
// whichever that is. The test runs itself with each that is installed.

#include <dirent.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"

namespace instar {
namespace {

constexpr char kInside[] = "INSTAR_TEST_ALLOCATOR";

// Everything that an allocator does with its locks held.
void Allocate(unsigned seed) {
  std::vector<std::unique_ptr<char[]>> blocks;
  for (unsigned i = 0; i < 24; ++i) {
    const std::size_t size = std::size_t{1} << (4 + (seed + 5 * i) % 19);
    blocks.emplace_back(new char[size]);
    blocks.back()[0] = 1;
    blocks.back()[size - 1] = 1;
    if (i % 3 == 0) blocks.erase(blocks.begin());
  }
  struct alignas(128) Aligned {
    char bytes[4096];
  };
  delete new Aligned;
  delete new (std::nothrow) Aligned;
  free(aligned_alloc(4096, 1 << 20));
  malloc_trim(0);
}

void HoldAndAllocate() {
  std::atomic<bool> stop{false};
  std::list<ControlledThread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.push_back(StartPassiveThread("allocates", [&stop, t] {
      unsigned seed = t;
      while (!stop) {
        Allocate(++seed);
        // So that a rendezvous comes about that holds others in system calls.
        if (seed % 4 == t) {
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        if (seed % 64 == 0) UpdatePoint();
      }
    }));
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  int held = 0;
  RendezvousOptions options;
  options.limit = std::chrono::milliseconds(30);
  options.grace = std::chrono::microseconds(50);
  while (std::chrono::steady_clock::now() < end) {
    const auto rendezvous = Rendezvous::HoldAll(options);
    if (!rendezvous.ok()) continue;
    for (unsigned i = 0; i < 8; ++i) Allocate(static_cast<unsigned>(held) + i);
    ++held;
  }
  stop = true;
  EXPECT_GT(held, 0);
}

std::string FindLibrary(const std::string& begin) {
  for (const char* const folder :
       {"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"}) {
    DIR* const list = opendir(folder);
    if (list == nullptr) continue;
    std::string found;
    while (const dirent* const entry = readdir(list)) {
      const std::string name = entry->d_name;
      if (name.rfind(begin, 0) == 0) found = std::string(folder) + "/" + name;
    }
    closedir(list);
    if (!found.empty()) return found;
  }
  return "";
}

class StragglerAllocatorTest : public testing::TestWithParam<const char*> {};

TEST_P(StragglerAllocatorTest, WhoHoldsMayAllocate) {
  const std::string allocator = GetParam();
  if (allocator.empty()) return HoldAndAllocate();
  if (getenv(kInside) != nullptr) GTEST_SKIP() << "runs with another one";
  const std::string library = FindLibrary(allocator);
  if (library.empty()) GTEST_SKIP() << allocator << " is not installed";
  const pid_t child = fork();
  if (child == 0) {
    setenv("LD_PRELOAD", library.c_str(), 1);
    setenv(kInside, library.c_str(), 1);
    // The end of a test that stands still.
    alarm(40);
    execl("/proc/self/exe", "straggler_allocator_test",
          "--gtest_filter=*WhoHoldsMayAllocate/0", nullptr);
    _exit(127);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "with " << library;
}

INSTANTIATE_TEST_SUITE_P(Allocators, StragglerAllocatorTest,
                         testing::Values("", "libtcmalloc_minimal.so",
                                         "libjemalloc.so", "libmimalloc.so"));

}  // namespace
}  // namespace instar
