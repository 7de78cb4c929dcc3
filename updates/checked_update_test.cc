// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a checked program (base/testing/checked_world.h) says of an update whose
// author takes a lock of the program while threads are held.

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/update.h"
#include "updates/update_plan.h"

namespace instar {

std::mutex table_lock;

// Of external linkage: it is named.
void SwapTables() { std::lock_guard<std::mutex> lock(table_lock); }

namespace {

class SwapTable final : public Mechanism {
 public:
  std::string name() const override { return "swap the table"; }
  Attempt Apply(const StoppedWorld&) override {
    SwapTables();
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld&) override { return Attempt::Done(); }
};

class CheckedUpdateDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  ~CheckedUpdateDeathTest() override { stop_ = true; }

 private:
  std::atomic<bool> stop_{false};
  ControlledThread thread_ = StartPassiveThread("worker", [this] {
    while (!stop_) {
      UpdatePoint();
      UpdatePoint("between requests");
    }
  });
};

constexpr char kTakesALock[] =
    " takes a lock of the program while this thread holds others.*: "
    "pthread_mutex_lock\\(.*called by instar::SwapTables\\(\\)";

TEST_F(CheckedUpdateDeathTest, NamesTheMechanismAndWhoLocks) {
  const std::string said = std::string("swap the table") + kTakesALock;
  EXPECT_DEATH(Apply(std::make_shared<SwapTable>()).IgnoreError(), said);
  EXPECT_DEATH(
      Apply(std::make_shared<SwapTable>(), Stacks::kAllThreads).IgnoreError(),
      said);
  EXPECT_DEATH(
      {
        UpdatePlan plan("tables");
        plan.Add(std::make_shared<SwapTable>());
        MakeUpdate(std::move(plan))->Apply({}).IgnoreError();
      },
      said);
}

TEST_F(CheckedUpdateDeathTest, NamesTheHook) {
  EXPECT_DEATH(
      {
        UpdatePlan plan("tables");
        plan.Before([] {
          SwapTables();
          return absl::OkStatus();
        });
        MakeUpdate(std::move(plan))->Apply({}).IgnoreError();
      },
      std::string("hook before the update") + kTakesALock);
}

// Where the program says that none of its threads owns a lock.
TEST_F(CheckedUpdateDeathTest, AtANamedPointLocksAreFree) {
  UpdatePlan plan("tables");
  plan.AtUpdatePoint("between requests");
  plan.Before([] {
    SwapTables();
    return absl::OkStatus();
  });
  const absl::Status status = MakeUpdate(std::move(plan))->Apply({});
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace instar
