// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A mechanism of one's own, with public headers alone: in a plan, in a thread,
// and alone.

#include <atomic>
#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {

int table = 1, next_table = 2;
int Lookup() { return table; }

struct SwapTable final : Mechanism {
  std::string name() const override { return "swap the table"; }
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
    const absl::StatusOr<Function> lookup = Function::Of(&Lookup);
    if (!lookup.ok()) return lookup.status();
    return QuiescentCode{{*lookup}, {}};
  }
  Attempt Apply(const StoppedWorld&) override {
    std::swap(table, next_table);
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld& world) override { return Apply(world); }
};

TEST(OwnMechanismTest, SwapTable) {
  std::atomic<bool> stop{false};
  ControlledThread reader = StartPassiveThread("reader", [&stop] {
    for (; !stop; UpdatePoint()) EXPECT_GT(Lookup(), 0);
  });
  UpdatePlan plan("plan");
  plan.Add(std::make_shared<SwapTable>());
  const auto at_once = MakeUpdate(std::move(plan));
  EXPECT_EQ(at_once->Apply({}), absl::OkStatus());
  EXPECT_EQ(table, 2);
  EXPECT_EQ(at_once->Undo({}), absl::OkStatus());
  EXPECT_EQ(table, 1);
  ThreadUpdates threads("threads");
  threads.Add("reader", std::make_shared<SwapTable>());
  EXPECT_EQ(MakeUpdate(std::move(threads))->Apply({}), absl::OkStatus());
  EXPECT_EQ(table, 2);
  EXPECT_EQ(Apply(std::make_shared<SwapTable>()), absl::OkStatus());
  EXPECT_EQ(table, 1);
  stop = true;
}

}  // namespace instar
