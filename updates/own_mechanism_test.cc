// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A mechanism of one's own, with public headers alone: in a plan, in a thread,
// and alone.

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/testing/looping.h"
#include "updates/change.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using Table = std::vector<int>;
using testing::ElementsAre;

// Of prices, which readers look up.
int Lookup(const Table& table, int i) { return table[i]; }

class SwapTable final : public Mechanism {
 public:
  SwapTable(Table& table, Table next) : table_(table), next_(std::move(next)) {}

  std::string name() const override { return "swap the table"; }
  absl::Status Prepare(UpdateForecast&) override {
    if (next_.size() == table_.size()) return absl::OkStatus();
    return absl::InvalidArgumentError("the tables differ in size");
  }
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
    const absl::StatusOr<Function> lookup = Function::Of(&Lookup);
    if (!lookup.ok()) return lookup.status();
    return QuiescentCode{{*lookup}, {}};
  }
  Attempt Apply(const StoppedWorld&) override {
    table_.swap(next_);
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld& world) override { return Apply(world); }

 private:
  Table& table_;
  Table next_;
};

TEST(OwnMechanismTest, SwapTable) {
  Table prices = {1, 2};
  const auto swap = [&](Table next) {
    return std::make_shared<SwapTable>(prices, std::move(next));
  };
  Looping reader("reader", [&] { ASSERT_GT(Lookup(prices, 0), 0); });
  UpdatePlan plan("plan");
  plan.Add(swap({10, 20}));
  const auto update = MakeUpdate(std::move(plan));
  EXPECT_EQ(update->Apply({}), absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(10, 20));
  EXPECT_EQ(update->Undo({}), absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(1, 2));
  ThreadUpdates threads("threads");
  threads.Add("reader", swap({11, 21}));
  EXPECT_EQ(MakeUpdate(std::move(threads))->Apply({}), absl::OkStatus());
  EXPECT_EQ(Apply(swap({12, 22})), absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(12, 22));
  EXPECT_TRUE(absl::IsInvalidArgument(Apply(swap({}))));
  // Where threads are stopped at any instruction.
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EXPECT_EQ(Apply(swap({13, 23}), Stacks::kAllThreads), absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(13, 23));
}

}  // namespace
}  // namespace instar
