// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

// A program that loads update modules, and looks at what it got.

#include <dlfcn.h>
#include <link.h>

#include <cstring>
#include <fstream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/function.h"
#include "gtest/gtest.h"
#include "tools/defs_test/shop.h"

// clang builds the tree to check it. Programs that it builds work, but have
// neither entries nor debug information that updates can use.
#ifdef __clang__
#define SKIP_WITH_CLANG() GTEST_SKIP() << "updatable code is built with GCC"
#else
#define SKIP_WITH_CLANG() static_cast<void>(0)
#endif

namespace shop {
namespace {

// Loads a module of this package; null, and a failed test, if that fails.
void* Load(const char* name) {
  const std::string path = absl::StrCat("tools/defs_test/", name, ".so");
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(module, nullptr) << dlerror();
  return module;
}

template <typename... Arguments>
int Call(void* module, const char* function, Arguments... arguments) {
  void* const address = dlsym(module, function);
  if (address == nullptr) {
    ADD_FAILURE() << dlerror();
    return -1;
  }
  return reinterpret_cast<int (*)(Arguments...)>(address)(arguments...);
}

TEST(UpdatableBinary, FunctionsHavePatchableEntries) {
  SKIP_WITH_CLANG();
  const absl::StatusOr<instar::Function> f =
      instar::Function::Named("shop::Discount");
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_TRUE(f->has_patchable_entry());
  EXPECT_TRUE(f->clones().empty());
  // The test's own functions too; those of GoogleTest not.
  EXPECT_TRUE(instar::Function::Of(&Load)->has_patchable_entry());
  EXPECT_FALSE(instar::Function::Of<void()>(&testing::InitGoogleTest)
                   ->has_patchable_entry());
}

TEST(UpdatableBinary, ItsDataIsThere) {
  std::ifstream data("tools/defs_test/shop.h");
  std::string line;
  EXPECT_TRUE(std::getline(data, line));
  EXPECT_EQ(line, "// Copyright The Instar Authors");
}

TEST(UpdatableBinary, KnowsWhereFunctionsHaveBeenInlined) {
  SKIP_WITH_CLANG();
  const absl::StatusOr<instar::Function> f =
      instar::Function::Named("shop::Discount");
  ASSERT_TRUE(f.ok()) << f.status();
  const auto copies = f->InlinedCopies();
  ASSERT_TRUE(copies.ok()) << copies.status();
  EXPECT_TRUE(copies->empty());
}

TEST(UpdateModule, UsesTheProgramsCode) {
  void* const ratings = Load("ratings");
  ASSERT_NE(ratings, nullptr);
  EXPECT_EQ(Call(ratings, "RatingsBestMark"), 5);
  EXPECT_EQ(Call(ratings, "RatingsDiscount", 40), 20);
  EXPECT_EQ(Call(ratings, "RatingsReadPrivate", 41), 41);
  // One copy of the program's library, initialized once.
  EXPECT_EQ(initialized, 1);
  IntCounter() = 6;
  EXPECT_EQ(Call(ratings, "RatingsCountInProgram"), 7);
  EXPECT_EQ(IntCounter(), 7);
}

TEST(UpdateModule, HasPatchableEntries) {
  SKIP_WITH_CLANG();
  void* const ratings = Load("ratings");
  ASSERT_NE(ratings, nullptr);
  const absl::StatusOr<instar::Function> f = instar::Function::AtEntry(
      reinterpret_cast<uintptr_t>(dlsym(ratings, "RatingsDiscount")));
  ASSERT_TRUE(f.ok()) << f.status();
  EXPECT_TRUE(f->has_patchable_entry());
}

TEST(UpdateModule, TwoBuildsShareNoStaticVariables) {
  void* const first = Load("ratings");
  void* const second = Load("ratings_rebuilt");
  ASSERT_TRUE(first != nullptr && second != nullptr);
  EXPECT_EQ(Call(first, "RatingsBestMark"), 5);
  EXPECT_EQ(Call(second, "RatingsBestMark"), 10);
  EXPECT_EQ(Call(first, "RatingsCountInModule"), 1);
  EXPECT_EQ(Call(first, "RatingsCountInModule"), 2);
  EXPECT_EQ(Call(second, "RatingsCountInModule"), 1);
}

TEST(UpdateModule, IsNamedAfterItsContents) {
  const auto name_of = [](void* module) {
    link_map* map = nullptr;
    EXPECT_EQ(dlinfo(module, RTLD_DI_LINKMAP, &map), 0);
    const char* strings = nullptr;
    size_t offset = 0;
    for (const ElfW(Dyn)* entry = map->l_ld; entry->d_tag != DT_NULL; ++entry) {
      if (entry->d_tag == DT_STRTAB) {
        strings = reinterpret_cast<const char*>(entry->d_un.d_ptr);
      }
      if (entry->d_tag == DT_SONAME) offset = entry->d_un.d_val;
    }
    return std::string(strings + offset);
  };
  const std::string name = name_of(Load("ratings"));
  EXPECT_TRUE(absl::StartsWith(name, "ratings.")) << name;
  EXPECT_EQ(name.size(), std::strlen("ratings.0123456789abcdef.so"));
  EXPECT_FALSE(absl::StrContains(name, "0000000000000000")) << name;
}

TEST(UpdateModule, RequiresTheBuildThatItWasLinkedWith) {
  ASSERT_NE(Load("ratings_rebuilt"), nullptr);
  ASSERT_NE(Load("ratings"), nullptr);
  void* const stars = Load("stars");
  ASSERT_NE(stars, nullptr);
  EXPECT_EQ(Call(stars, "StarsMark"), 105);
}

TEST(UpdateModule, CanBeUnloaded) {
  void* const module = Load("ratings_rebuilt");
  ASSERT_NE(module, nullptr);
  const auto loaded = [] {
    void* const again =
        dlopen("tools/defs_test/ratings_rebuilt.so", RTLD_NOW | RTLD_NOLOAD);
    if (again != nullptr) dlclose(again);
    return again != nullptr;
  };
  // Each of the tests above holds it once at most.
  for (int i = 0; i < 10 && loaded(); ++i) dlclose(module);
  EXPECT_FALSE(loaded());
}

}  // namespace
}  // namespace shop
