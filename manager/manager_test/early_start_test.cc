// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A manager that is started before anything of the program has been
// initialized: by a constructor function that runs first.

#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "absl/status/statusor.h"
#include "code/symbols/function.h"
#include "gtest/gtest.h"
#include "manager/manager.h"
#include "updates/testing/functions_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using updates_test::Price;
using updates_test::Price2;

// Made by the constructor, which must not refer to what is initialized later.
absl::StatusOr<Manager>* early_manager;
absl::StatusOr<Function>* early_function;
char directory[] = "/tmp/instar-early-start-XXXXXX";

__attribute__((constructor(101))) void StartFirst() {
  if (mkdtemp(directory) == nullptr) return;
  setenv("INSTAR_SOCKET_DIRECTORY", directory, 1);
  early_function = new absl::StatusOr<Function>(Function::Of(&Price2));
  early_manager = new absl::StatusOr<Manager>(Manager::Start());
}

TEST(EarlyStartTest, UpdatesAreApplied) {
  ASSERT_NE(early_manager, nullptr);
  ASSERT_TRUE(early_function->ok()) << early_function->status();
  ASSERT_TRUE(early_manager->ok()) << early_manager->status();
  Manager& manager = **early_manager;
  const int before = Price(1);
  UpdatePlan plan("prices");
  plan.Redefine(Price, &Price2);
  const auto report = manager.Apply(MakeUpdate(std::move(plan)));
  EXPECT_TRUE(report.ok()) << report.status();
  EXPECT_NE(Price(1), before);
  EXPECT_TRUE(manager.Undo().ok());
  EXPECT_EQ(Price(1), before);
  delete early_manager;
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace instar
