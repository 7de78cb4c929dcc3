// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions of objects that come and go.

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "code/inlined_functions_for_test.h"
#include "code/program_check/folded_functions.h"
#include "code/symbols/find_functions.h"
#include "code/symbols/function.h"
#include "code/symbols/variable.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr char kObject[] = "code/symbols/loaded_for_test.so";
constexpr char kRebuilt[] = "code/symbols/loaded_for_test_rebuilt.so";

std::string Error(const absl::StatusOr<Function>& function) {
  return std::string(function.status().message());
}

// Writes a new file, which takes the place of what was there.
void Replace(const std::string& path, const std::string& with) {
  const std::string fresh = path + ".new";
  std::ofstream(fresh, std::ios::binary)
      << std::ifstream(with, std::ios::binary).rdbuf();
  ASSERT_EQ(std::rename(fresh.c_str(), path.c_str()), 0);
}

class LoadedObject {
 public:
  explicit LoadedObject(const std::string& path)
      : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << dlerror();
  }
  ~LoadedObject() { dlclose(handle_); }

  uintptr_t Address(const char* symbol) const {
    return reinterpret_cast<uintptr_t>(dlsym(handle_, symbol));
  }

 private:
  void* const handle_;
};

TEST(LoadedFunction, IsFoundWhileItsObjectIsLoaded) {
  ASSERT_FALSE(Function::Named("loaded::Function").ok());
  const FunctionMap before = FunctionMap::Preload();
  {
    const LoadedObject object(kObject);
    EXPECT_FALSE(before.IsCurrent());
    const absl::StatusOr<Function> f = Function::Named("loaded::Function");
    ASSERT_TRUE(f.ok()) << f.status();
    EXPECT_THAT(std::string(f->image()), EndsWith(kObject));
    EXPECT_EQ(std::string(f->image()).front(), '/');
    EXPECT_NE(f->load_base(), 0u);
    EXPECT_TRUE(Function::Named("loaded::FileLocal").ok());
    const absl::StatusOr<Function> c =
        Function::AtEntry(object.Address("LoadedFunction"));
    ASSERT_TRUE(c.ok()) << c.status();
    EXPECT_EQ(c->linkage_name(), "LoadedFunction");
    EXPECT_EQ(before.Containing(c->entry()), std::nullopt);
    EXPECT_TRUE(FunctionMap::Preload().Containing(c->entry()).has_value());
  }
  EXPECT_EQ(Function::Named("loaded::Function").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(LoadedFunction, OfTwoObjectsIsAmbiguousUnlessTheObjectIsNamed) {
  const LoadedObject object(kObject);
  const LoadedObject rebuilt(kRebuilt);
  const absl::StatusOr<Function> f = Function::Named("LoadedFunction");
  EXPECT_EQ(f.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Error(f), HasSubstr(kObject));
  EXPECT_THAT(Error(f), HasSubstr(kRebuilt));
  const absl::StatusOr<Function> one =
      Function::Named("LoadedFunction", "loaded_for_test_rebuilt.so");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->entry(), rebuilt.Address("LoadedFunction"));
}

// Nobody has read it before. What the kernel has mapped may be read by root;
// what was exported lies in memory.
TEST(LoadedFunction, OfAReplacedFileIsKnownAndNotGuessed) {
  const std::string path = absl::StrCat(std::getenv("TEST_TMPDIR"), "/o.so");
  Replace(path, kObject);
  const LoadedObject object(path);
  Replace(path, kRebuilt);
  const uintptr_t entry = object.Address("LoadedFunction");
  const absl::StatusOr<Function> by_name =
      Function::Named("LoadedFunction", "o.so");
  ASSERT_TRUE(by_name.ok()) << by_name.status();
  EXPECT_EQ(by_name->entry(), entry);
  const absl::StatusOr<Function> at = Function::AtEntry(entry);
  ASSERT_TRUE(at.ok()) << at.status();
  EXPECT_EQ(at->name(), "LoadedFunction");
  EXPECT_FALSE(Function::Named("LoadedExtra", "o.so").ok());
  const absl::StatusOr<Function> file_local =
      Function::Named("loaded::FileLocal", "o.so");
  if (!file_local.ok()) {
    EXPECT_THAT(Error(file_local),
                HasSubstr("its file was replaced after loading"));
  }
}

TEST(LoadedFunction, WhetherItIsFoldedIsNotReadFromAnotherFile) {
  const std::string path = absl::StrCat(std::getenv("TEST_TMPDIR"), "/f.so");
  Replace(path, kObject);
  const LoadedObject object(path);
  const absl::StatusOr<Function> f =
      Function::AtEntry(object.Address("LoadedByTwoNames"));
  ASSERT_TRUE(f.ok()) << f.status();
  ASSERT_EQ(f->linkage_names().size(), 2u);
  ASSERT_TRUE(FunctionsFoldedInto(*f).ok());
  Replace(path, kRebuilt);
  const auto folded = FunctionsFoldedInto(*f);
  EXPECT_EQ(folded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(folded.status().message()), HasSubstr("replaced"));
  // It is cut off.
  const std::string other = absl::StrCat(std::getenv("TEST_TMPDIR"), "/g.so");
  Replace(other, kObject);
  const LoadedObject second(other);
  const absl::StatusOr<Function> g =
      Function::AtEntry(second.Address("LoadedByTwoNames"));
  ASSERT_TRUE(g.ok()) << g.status();
  const auto whole = std::filesystem::file_size(other);
  std::filesystem::resize_file(other, whole - 1);
  EXPECT_EQ(FunctionsFoldedInto(*g).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// As when a library is upgraded under a program that runs.
TEST(LoadedFunction, OfAReplacedFileThatWasReadBeforeStaysKnown) {
  const std::string path = absl::StrCat(std::getenv("TEST_TMPDIR"), "/q.so");
  Replace(path, kObject);
  const LoadedObject object(path);
  const absl::StatusOr<Function> before =
      Function::Named("loaded::FileLocal", "q.so");
  ASSERT_TRUE(before.ok()) << before.status();
  Replace(path, kRebuilt);
  // After an unloading every object is looked at again.
  { const LoadedObject another(kRebuilt); }
  EXPECT_FALSE(Function::Named("LoadedExtra", "q.so").ok());
  const absl::StatusOr<Function> after =
      Function::Named("loaded::FileLocal", "q.so");
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(*before, *after);
  ASSERT_EQ(std::remove(path.c_str()), 0);
  { const LoadedObject another(kRebuilt); }
  EXPECT_TRUE(Function::Named("loaded::FileLocal", "q.so").ok());
}

TEST(LoadedFunction, OfARemovedFile) {
  const std::string path = absl::StrCat(std::getenv("TEST_TMPDIR"), "/p.so");
  Replace(path, kObject);
  const LoadedObject object(path);
  // What has been read before stays known.
  ASSERT_TRUE(Function::Named("loaded::Function", "p.so").ok());
  ASSERT_EQ(std::remove(path.c_str()), 0);
  EXPECT_TRUE(Function::Named("loaded::Function", "p.so").ok());
  EXPECT_THAT(Function::Named("loaded::Function", "p.so")
                  ->InlinedCopies()
                  .status()
                  .message(),
              HasSubstr("p.so"));
}

TEST(LoadedVariable, ThreadLocalsOfLoadedObjects) {
  const LoadedObject object(kObject);
  const absl::StatusOr<int*> variable = FindVariable<int>("loaded::variable");
  ASSERT_TRUE(variable.ok()) << variable.status();
  EXPECT_EQ(**variable, 3);
  const absl::StatusOr<int*> per_thread =
      FindVariable<int>("loaded::per_thread");
  ASSERT_TRUE(per_thread.ok()) << per_thread.status();
  EXPECT_EQ(**per_thread, 4);
  **per_thread = 14;
  std::thread([&] {
    const absl::StatusOr<int*> of_thread =
        FindVariable<int>("loaded::per_thread");
    ASSERT_TRUE(of_thread.ok()) << of_thread.status();
    EXPECT_NE(*of_thread, *per_thread);
    EXPECT_EQ(**of_thread, 4);
  }).join();
}

// Threads look up functions of every kind while others load and unload objects.
TEST(LoadedFunction, LookupsWhileObjectsComeAndGo) {
  constexpr int kRounds = 150;
  std::atomic<int> running{2};
  std::atomic<int> found{0};
  const auto load = [&running](const char* path, const char* suffix) {
    const std::string copy =
        absl::StrCat(std::getenv("TEST_TMPDIR"), "/", suffix);
    Replace(copy, path);
    for (int i = 0; i < kRounds; ++i) {
      const LoadedObject object(copy);
      const uintptr_t entry = object.Address("LoadedFunction");
      const absl::StatusOr<Function> f = Function::AtEntry(entry);
      ASSERT_TRUE(f.ok()) << f.status();
      EXPECT_EQ(f->linkage_name(), "LoadedFunction");
      EXPECT_THAT(std::string(f->image()), EndsWith(suffix));
      EXPECT_TRUE(Function::Named("loaded::Function", suffix).ok());
    }
    --running;
  };
  const auto look = [&running, &found] {
    do {
      const absl::StatusOr<Function> known = Function::Of(&std::abort);
      ASSERT_TRUE(known.ok()) << known.status();
      EXPECT_TRUE(Function::Containing(known->entry() + 1).ok());
      // Loaded by none, one or both: all answers are right but a crash.
      const absl::StatusOr<Function> f = Function::Named("loaded::Function");
      if (f.ok()) ++found;
      const FunctionMap map = FunctionMap::Preload();
      EXPECT_TRUE(map.Containing(known->entry()).has_value());
    } while (running > 0);
  };
  std::vector<std::thread> threads;
  threads.emplace_back(load, kObject, "first.so");
  threads.emplace_back(load, kRebuilt, "second.so");
  threads.emplace_back(look);
  threads.emplace_back(look);
  for (std::thread& thread : threads) thread.join();
  RecordProperty("found", found);
}

// Of objects that came since the others were read, the debug information is
// read only if that is wanted.
TEST(LoadedFunction, OfObjectsThatHaveJustBeenLoaded) {
  PreloadFindFunctions();
  const std::string fresh = testing::TempDir() + "just_loaded.so";
  Replace(fresh, kObject);
  const LoadedObject object(fresh);
  const auto is_it = [](absl::string_view name) {
    return absl::StrContains(name, "6loaded");
  };
  FindOptions options;
  options.parts = {"6loaded"};
  options.read_debug_information = false;
  const FoundFunctions quick = FindFunctions(is_it, options);
  ASSERT_FALSE(quick.functions.empty());
  ASSERT_EQ(quick.unknown.size(), 1u);
  EXPECT_THAT(quick.unknown[0].name, EndsWith("just_loaded.so"));
  EXPECT_THAT(quick.unknown[0].why, HasSubstr("has not been read yet"));
  EXPECT_TRUE(quick.unknown[0].code.Contains(quick.functions.front().entry()));

  options.read_debug_information = true;
  const FoundFunctions thorough = FindFunctions(is_it, options);
  EXPECT_EQ(thorough.functions, quick.functions);
  EXPECT_THAT(thorough.unknown, testing::IsEmpty());
  options.read_debug_information = false;  // there is nothing left to be read
  EXPECT_THAT(FindFunctions(is_it, options).unknown, testing::IsEmpty());
}

// A function that has code in one object only, and copies in another, of which
// what is known is more.
TEST(LoadedFunction, CopiesAreFoundWhereverItsCodeIs) {
  EXPECT_EQ(inlined::CallsWithCodeElsewhere(1), 8);
  FunctionSearch search([](absl::string_view name) {
    return absl::StrContains(name, "17WithCodeElsewhereE");
  });
  const auto copies_of = [](const FoundFunctions& found) {
    std::vector<std::string> into;
    for (const InlinedFunction& function : found.inlined) {
      EXPECT_EQ(function.name, "inlined::WithCodeElsewhere(int)");
      into.push_back(function.copy.into.name());
    }
    return into;
  };
  const FoundFunctions before = search.Find();
  EXPECT_THAT(before.functions, testing::IsEmpty());
  EXPECT_THAT(copies_of(before),
              testing::AllOf(
                  testing::Not(testing::IsEmpty()),  // one or several stretches
                  testing::Each("inlined::CallsWithCodeElsewhere(int)")));

  const std::string fresh = testing::TempDir() + "has_code.so";
  Replace(fresh, kObject);
  {
    const LoadedObject object(fresh);
    for (const bool read : {false, true}) {
      const FoundFunctions found = search.Find(read);
      ASSERT_EQ(found.functions.size(), 1u);
      EXPECT_THAT(std::string(found.functions[0].image()),
                  EndsWith("has_code.so"));
      EXPECT_EQ(copies_of(found), copies_of(before));
    }
  }
  EXPECT_THAT(search.Find().functions, testing::IsEmpty());
}

}  // namespace
}  // namespace instar
