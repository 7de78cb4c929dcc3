// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/patchable_entries.h"

#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "code/patchable_entries_test_functions.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

uintptr_t Address(const void* function) {
  return reinterpret_cast<uintptr_t>(function);
}

template <typename F>
uintptr_t Entry(F* function) {
  return Address(reinterpret_cast<const void*>(function));
}

bool IsOneNoOp(uintptr_t entry) {
  static constexpr unsigned char kNoOp[] = {0x0F, 0x1F, 0x44, 0x00, 0x00};
  return memcmp(reinterpret_cast<const void*>(entry), kNoOp, 5) == 0;
}

std::shared_ptr<const PatchableEntries> Current() {
  auto entries = PatchableEntries::Current();
  EXPECT_TRUE(entries.ok()) << entries.status();
  return entries.ok() ? *entries : nullptr;
}

TEST(PatchableEntriesTest, ProgramIsRewrittenBeforeMain) {
  EXPECT_TRUE(IsOneNoOp(Entry(&entries_test::Plain)));
  EXPECT_EQ(entries_test::Plain(1), 2);
  EXPECT_EQ(entries_test::UsesTemplates(3), "xxx");
}

TEST(PatchableEntriesTest, ListsWhatHasAnEntryAndNothingElse) {
  const auto entries = Current();
  EXPECT_TRUE(entries->Contains(Entry(&entries_test::Plain)));
  EXPECT_TRUE(entries->Contains(Entry(&entries_test::UsesTemplates)));
  EXPECT_FALSE(entries->Contains(Entry(&entries_test::NotPatchable)));
  EXPECT_FALSE(entries->Contains(Entry(&entries_test::Plain) + 5));
  EXPECT_FALSE(entries->Contains(Entry(&memcpy)));
  EXPECT_FALSE(entries->Contains(0));
}

TEST(PatchableEntriesTest, ImagesContainTheirEntriesInOrder) {
  const auto entries = Current();
  size_t size = 0;
  for (const PatchableImage& image : entries->images()) {
    uintptr_t last = 0;
    for (const uintptr_t entry : image.entries) {
      EXPECT_LT(last, entry);
      EXPECT_LE(image.begin, entry);
      EXPECT_LT(entry, image.end);
      EXPECT_EQ(entries->ImageAt(entry), &image);
      EXPECT_TRUE(IsOneNoOp(entry));
      last = entry;
    }
    size += image.entries.size();
  }
  EXPECT_GE(size, 2u);
  EXPECT_EQ(entries->size(), size);
}

TEST(PatchableEntriesTest, IsTheSameUntilSomethingIsLoaded) {
  EXPECT_EQ(Current(), Current());
}

class LoadedObject {
 public:
  LoadedObject()
      : handle_(dlopen("code/libpatchable_entries_test_object.so",
                       RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << dlerror();
    function_ = reinterpret_cast<int (*)(int)>(
        dlsym(handle_, "instar_test_loaded_function"));
    EXPECT_NE(function_, nullptr);
  }
  ~LoadedObject() { EXPECT_EQ(dlclose(handle_), 0); }

  int (*function() const)(int) { return function_; }

 private:
  void* handle_;
  int (*function_)(int);
};

TEST(PatchableEntriesTest, LoadedObjectIsRewrittenAndForgottenWithIt) {
  // Again and again, since the second is usually loaded at the same address.
  for (int i = 0; i < 3; ++i) {
    uintptr_t entry;
    {
      LoadedObject object;
      entry = Entry(object.function());
      EXPECT_FALSE(IsOneNoOp(entry));
      EXPECT_TRUE(Current()->Contains(entry));
      EXPECT_TRUE(IsOneNoOp(entry));
      EXPECT_EQ(object.function()(1), 4);
    }
    EXPECT_FALSE(Current()->Contains(entry));
  }
}

TEST(PatchableEntriesTest, ReloadedObjectIsNoticedThoughNobodyAskedBetween) {
  for (int i = 0; i < 3; ++i) {
    LoadedObject object;
    EXPECT_TRUE(Current()->Contains(Entry(object.function())));
    EXPECT_TRUE(IsOneNoOp(Entry(object.function())));
  }
}

TEST(PatchableEntriesTest, LoadedObjectIsRewrittenWhileThreadsRunThroughIt) {
  for (int i = 0; i < 10; ++i) {
    LoadedObject object;
    std::atomic<int> running{0};
    std::atomic<bool> stop{false};
    std::atomic<long> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 3; ++thread) {
      threads.emplace_back([&, function = object.function()] {
        ++running;
        while (!stop.load(std::memory_order_relaxed)) {
          if (function(7) != 10) ++wrong;
        }
      });
    }
    while (running < 3) std::this_thread::yield();
    EXPECT_TRUE(Current()->Contains(Entry(object.function())));
    EXPECT_TRUE(IsOneNoOp(Entry(object.function())));
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
}

}  // namespace
}  // namespace instar
