// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/patchable_entries.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "base/testing/file_contents.h"
#include "base/testing/hammer.h"
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
  // A thread that runs through them may not have run for a while.
  while (absl::IsUnavailable(entries.status())) {
    entries = PatchableEntries::Current();
  }
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

constexpr char kObject[] = "code/libpatchable_entries_test_object.so";

class LoadedObject {
 public:
  explicit LoadedObject(const std::string& path = kObject)
      : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
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
    std::atomic<long> wrong{0};
    Hammer hammer(3, [&, function = object.function()] {
      if (function(7) != 10) ++wrong;
    });
    EXPECT_TRUE(Current()->Contains(Entry(object.function())));
    EXPECT_TRUE(IsOneNoOp(Entry(object.function())));
    hammer.Stop();
    EXPECT_EQ(wrong, 0);
  }
}

// The object with the no-ops of its function rewritten in the file, as update
// modules have them; of other functions with the same code, too.
std::string FinishedObject() {
  std::string code;
  {
    const LoadedObject object;
    code = std::string(reinterpret_cast<const char*>(object.function()), 16);
  }
  code.replace(0, 5, "\x90\x90\x90\x90\x90");
  std::string file = FileContents(kObject);
  int found = 0;
  for (size_t at = 0; (at = file.find(code, at)) != std::string::npos; ++at) {
    file.replace(at, 5, std::string("\x0F\x1F\x44\x00\x00", 5));
    ++found;
  }
  EXPECT_GT(found, 0);
  return file;
}

// Files replaced by renaming, so that what is loaded stays as it is.
void Write(const std::string& path, const std::string& contents) {
  const std::string fresh = path + ".new";
  std::ofstream(fresh, std::ios::binary) << contents;
  ASSERT_EQ(std::rename(fresh.c_str(), path.c_str()), 0);
}

TEST(PatchableEntriesTest, EntriesThatAreOneNoOpInTheFile) {
  const std::string path = testing::TempDir() + "/finished.so";
  Write(path, FinishedObject());
  for (int i = 0; i < 3; ++i) {
    uintptr_t entry;
    {
      const LoadedObject object(path);
      entry = Entry(object.function());
      EXPECT_TRUE(IsOneNoOp(entry));
      EXPECT_TRUE(Current()->Contains(entry));
      EXPECT_EQ(object.function()(1), 4);
    }
    EXPECT_FALSE(Current()->Contains(entry));
  }
}

// An object that has come to lie where another one was, under the same name.
TEST(PatchableEntriesTest, AnotherObjectAtTheSamePlaceIsNoticed) {
  const std::string path = testing::TempDir() + "/changing.so";
  const std::string finished = FinishedObject();
  const std::string unfinished = FileContents(kObject);
  uint64_t last = 0;
  for (const std::string& contents :
       {finished, unfinished, finished, unfinished, unfinished}) {
    Write(path, contents);
    const LoadedObject object(path);  // nobody asks between the two
    const uintptr_t entry = Entry(object.function());
    EXPECT_EQ(IsOneNoOp(entry), contents == finished);
    const auto entries = Current();
    EXPECT_TRUE(entries->Contains(entry));
    EXPECT_TRUE(IsOneNoOp(entry));
    EXPECT_GT(entries->ImageAt(entry)->number, last);
    last = entries->ImageAt(entry)->number;
  }
}

TEST(PatchableEntriesTest, WhatStaysLoadedIsNotLookedAtAgain) {
  const std::string path = testing::TempDir() + "/second.so";
  const std::string finished = FinishedObject();
  const auto before = Current();
  const LoadedObject first;
  const auto with_first = Current();
  Write(path, finished);
  const LoadedObject second(path);
  const auto with_both = Current();
  ASSERT_EQ(with_both->images().size(), before->images().size() + 2);
  const uintptr_t entry = Entry(first.function());
  EXPECT_TRUE(with_both->Contains(Entry(second.function())));
  EXPECT_EQ(with_both->ImageAt(entry)->entries.data(),
            with_first->ImageAt(entry)->entries.data());
  EXPECT_EQ(with_both->ImageAt(entry)->number,
            with_first->ImageAt(entry)->number);
}

}  // namespace
}  // namespace instar
