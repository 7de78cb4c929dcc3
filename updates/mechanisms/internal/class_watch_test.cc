// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/internal/class_watch.h"

#include <dlfcn.h>

#include <cstdint>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "code/function_entry.h"
#include "code/portable/needs_entries_for_test.h"
#include "code/symbols/function.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"
#include "updates/mechanisms/class_functions.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace updates_internal {
namespace {

struct Item : Updatable<Item> {};

WatchedSet Get(ClassFunctionsOptions options = {}, bool thorough = true) {
  ClassWatch watch(
      Item::Class(),
      [] { return std::vector<const std::type_info*>{&typeid(Item)}; },
      std::move(options));
  absl::StatusOr<WatchedSet> watched = watch.Get(thorough);
  EXPECT_TRUE(watched.ok()) << watched.status();
  return watched.ok() ? *watched : nullptr;
}

ClassFunctionsOptions Ignoring() {
  ClassFunctionsOptions options;
  options.ignore_unknown_copies = true;
  return options;
}

class ClassWatchTest : public testing::Test {
 protected:
  ClassWatchTest() { PreloadClassFunctions(); }
};

TEST_F(ClassWatchTest, WhatOneUpdateHasLookedUpTheNextOneHas) {
  const WatchedSet first = Get(Ignoring());
  EXPECT_EQ(Get(Ignoring()), first);
  // Others ask for something else.
  EXPECT_NE(Get(Ignoring(), /*thorough=*/false), first);
  ClassFunctionsOptions more = Ignoring();
  more.watch_also = {"instar::updates_test::Price2(int)"};
  const WatchedSet with_more = Get(more);
  EXPECT_NE(with_more, first);
  EXPECT_EQ(with_more->functions().size(), first->functions().size() + 1);
  EXPECT_EQ(Get(Ignoring()), first);
}

TEST_F(ClassWatchTest, OtherCodeIsLookedAtAnew) {
  const WatchedSet first = Get(Ignoring());
  void* const library = dlopen("libresolv.so.2", RTLD_NOW);
  ASSERT_NE(library, nullptr) << dlerror();
  const WatchedSet with_library = Get(Ignoring());
  EXPECT_NE(with_library, first);
  dlclose(library);
  EXPECT_NE(Get(Ignoring()), with_library);
}

TEST_F(ClassWatchTest, SoAreFunctionsThatHaveNewVersions) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const WatchedSet first = Get(Ignoring());
  auto redirection = code_internal::RedirectOne(
      *Function::Of(&updates_test::Price2),
      reinterpret_cast<std::uintptr_t>(&updates_test::Price3));
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_NE(Get(Ignoring()), first);
  EXPECT_TRUE(redirection->Undo().ok());
}

}  // namespace
}  // namespace updates_internal
}  // namespace instar
