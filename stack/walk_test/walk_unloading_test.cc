// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Walks while shared objects come and go.

#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/unwind_table.h"
#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"

namespace instar {
namespace {

constexpr const char* kModules[] = {
    "stack/walk_test/libwalk_module_small.so",
    "stack/walk_test/libwalk_module_large.so",
    "stack/walk_test/libwalk_module_huge.so",
};

using Call = void (*)(void (*)(void*), void*);

// Where the module's function lies, and how the walk through it ended.
struct Walked {
  std::uintptr_t function = 0;
  bool through_module = false;
  WalkResult result;
};

void WalkNow(void* argument) {
  auto* walked = static_cast<Walked*>(argument);
  UnwindEntry code;
  ASSERT_EQ(FindUnwindEntry(walked->function, &code), UnwindLookup::kFound);
  walked->result = WalkStack(SnapshotOfCaller(), [&](const Frame& frame) {
    if (frame.lookup_pc >= code.start && frame.lookup_pc < code.end) {
      walked->through_module = true;
    }
    return true;
  });
}

Walked LoadWalkUnload(const char* path) {
  Walked walked;
  void* const module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(module, nullptr) << dlerror();
  if (module == nullptr) return walked;
  const auto call = reinterpret_cast<Call>(dlsym(module, "WalkModuleCall"));
  walked.function = reinterpret_cast<std::uintptr_t>(call);
  call(&WalkNow, &walked);
  call(&WalkNow, &walked);  // what the first remembered must be right, too
  dlclose(module);
  return walked;
}

TEST(WalkUnloadingTest, WhatIsLoadedAtTheSamePlaceIsNotMistaken) {
  std::set<std::uintptr_t> places;
  int loads = 0;
  for (int round = 0; round < 50; ++round) {
    for (const char* path : kModules) {
      const Walked walked = LoadWalkUnload(path);
      EXPECT_TRUE(walked.result.complete()) << walked.result.ToString();
      EXPECT_TRUE(walked.through_module);
      places.insert(walked.function);
      ++loads;
    }
  }
  // Or the test would show nothing.
  EXPECT_LT(places.size(), static_cast<std::size_t>(loads));
}

TEST(WalkUnloadingTest, WhileOtherThreadsLoadAndUnload) {
  std::atomic<bool> stop{false};
  std::atomic<int> loads{0};
  std::vector<std::thread> loaders;
  for (int i = 0; i < 2; ++i) {
    loaders.emplace_back([&, i] {
      for (int round = 0; !stop; ++round) {
        const Walked walked = LoadWalkUnload(kModules[(round + i) % 3]);
        EXPECT_TRUE(walked.result.complete()) << walked.result.ToString();
        ++loads;
      }
    });
  }
  int walks = 0;
  while (loads < 300 || walks < 100) {
    const WalkResult result =
        WalkStack(SnapshotOfCaller(), [](const Frame&) { return true; });
    EXPECT_TRUE(result.complete()) << result.ToString();
    ++walks;
  }
  stop = true;
  for (std::thread& loader : loaders) loader.join();
}

TEST(WalkUnloadingTest, CodeThatIsDeclaredStayingIsRemembered) {
  void* const module = dlopen(kModules[0], RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(module, nullptr) << dlerror();
  const void* const function = dlsym(module, "WalkModuleCall");
  const auto pc = reinterpret_cast<std::uintptr_t>(function);
  EXPECT_FALSE(stack_internal::IsNeverUnloaded(pc));
  DeclareNeverUnloaded(function);
  EXPECT_TRUE(stack_internal::IsNeverUnloaded(pc));
  // It stays open: that is what was declared.
}

TEST(WalkUnloadingDeathTest, DataIsNoCode) {
  int data = 0;
  EXPECT_DEATH(DeclareNeverUnloaded(&data), "no code of a loaded object");
}

}  // namespace
}  // namespace instar
