// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/testing/allocators.h"

#include <dirent.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>

#include "base/testing/child_process.h"

namespace instar {
namespace {

constexpr char kInside[] = "INSTAR_TEST_ALLOCATOR";

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

struct Large {
  char bytes[1 << 18];
};
struct alignas(4096) LargeAligned {
  ~LargeAligned() { bytes[0] = 0; }
  char bytes[1 << 18];
};
struct alignas(128) Aligned {
  char bytes[4096];
};

}  // namespace

std::vector<TestAllocator> AllocatorsForTest() {
  return {
      {"libc",
       "",
       {{"MALLOC_ARENA_MAX", "1"},
        {"MALLOC_TRIM_THRESHOLD_", "0"},
        {"MALLOC_TOP_PAD_", "0"},
        {"MALLOC_MMAP_THRESHOLD_", "100000000"}}},
      {"tcmalloc",
       "libtcmalloc_minimal.so",
       {{"TCMALLOC_AGGRESSIVE_DECOMMIT", "1"}}},
      {"jemalloc",
       "libjemalloc.so",
       {{"MALLOC_CONF", "narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0"}}},
      {"mimalloc", "libmimalloc.so", {{"MIMALLOC_PURGE_DELAY", "0"}}},
  };
}

bool RunsWithAllocator() { return getenv(kInside) != nullptr; }

RunOutcome RunWithAllocator(const TestAllocator& allocator,
                            const std::string& filter, std::string* why) {
  std::string library;
  if (!allocator.library.empty()) {
    library = FindLibrary(allocator.library);
    *why = allocator.library + " is not installed";
    if (library.empty()) return RunOutcome::kNotInstalled;
  }
  *why = "the process ended badly";
  const std::string argument = "--gtest_filter=" + filter;
  const pid_t child = fork();
  if (child < 0) return RunOutcome::kFailed;
  if (child == 0) {
    if (!library.empty()) setenv("LD_PRELOAD", library.c_str(), 1);
    for (const auto& [name, value] : allocator.settings) {
      setenv(name.c_str(), value.c_str(), 1);
    }
    setenv(kInside, "1", 1);
    execl("/proc/self/exe", "with_allocator", argument.c_str(), nullptr);
    _exit(127);
  }
  const std::optional<int> status =
      AwaitChild(child, std::chrono::seconds(150));
  if (!status.has_value()) *why = "it stands still";
  return status == 0 ? RunOutcome::kPassed : RunOutcome::kFailed;
}

void AllocateInAllWays(unsigned seed) {
  std::vector<std::unique_ptr<char[]>> blocks;
  for (unsigned i = 0; i < 24; ++i) {
    const std::size_t size = std::size_t{1} << (4 + (seed + 5 * i) % 19);
    blocks.emplace_back(new char[size]);
    blocks.back()[0] = 1;
    blocks.back()[size - 1] = 1;
    if (i % 3 == 0) blocks.erase(blocks.begin());
  }
  delete new Aligned;
  delete new (std::nothrow) Aligned;
  free(aligned_alloc(4096, 1 << 20));
  malloc_trim(0);
}

void AllocateLarge() {
  auto* const large = new Large;
  large->bytes[0] = 1;
  delete large;
  auto* const aligned = new LargeAligned;
  aligned->bytes[0] = 1;
  delete aligned;
  delete[] new LargeAligned[2];
}

}  // namespace instar
