// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A schedule and a mechanism of one's own, with public headers alone.

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/testing/sanitizers.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/attempt.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/thread_updates.h"
#include "updates/update.h"
#include "updates/update_plan.h"
#include "updates/update_run.h"

namespace instar {
namespace {

using testing::ElementsAre;

// One mechanism after the other, each at a moment of its own, with a pause in
// between in which somebody may look at the program, and say stop.
class OneByOne final : public Update {
 public:
  OneByOne(std::string name, const std::vector<std::shared_ptr<Mechanism>>& all)
      : run_(std::move(name)) {
    for (const auto& mechanism : all) changes_.emplace_back(mechanism);
  }

  const std::string& name() const override { return run_.name(); }
  absl::StatusOr<UpdateForecast> Prepare() override {
    UpdateForecast forecast;
    for (Change& change : changes_) {
      forecast.steps.push_back(change.name());
      const absl::Status status = change.Prepare(&forecast);
      if (!status.ok()) return status;
    }
    return forecast;
  }
  absl::Status Apply(const ApplyOptions& options) override {
    return Run(Direction::kApply, options);
  }
  absl::Status Undo(const ApplyOptions& options) override {
    return Run(Direction::kUndo, options);
  }
  absl::Status CanUndo() const override {
    absl::Status status;
    for (const Change& change : changes_) status.Update(change.CanUndo());
    return status;
  }
  void Cancel() override { run_.Cancel(); }
  UpdateProgress Progress() const override { return run_.Progress(); }

 private:
  absl::Status Run(Direction direction, const ApplyOptions& options) {
    const bool applies = direction == Direction::kApply;
    absl::Status status =
        run_.Begin(applies ? UpdatePhase::kPrepared : UpdatePhase::kApplied);
    if (!status.ok()) return status;
    const std::size_t all = changes_.size();
    const auto step = [&](std::size_t i, bool apply) {
      Change& change = changes_[applies ? i : all - 1 - i];
      return run_.Repeat(direction, options, [&] {
        return apply ? change.Apply() : change.Undo();
      });
    };
    std::size_t done = 0;
    while (done < all && (status = step(done, applies)).ok()) ++done;
    // All or nothing.
    while (!status.ok() && done > 0) step(--done, !applies).IgnoreError();
    run_.End(status.ok() == applies ? UpdatePhase::kApplied
                                    : UpdatePhase::kPrepared);
    return status;
  }

  UpdateRun run_;
  std::vector<Change> changes_;
};

// A mechanism: a table of prices that readers look things up in.
int Lookup(const std::vector<int>& table, int i) { return table[i]; }

class SwapTable final : public Mechanism {
 public:
  SwapTable(std::vector<int>& table, std::vector<int> next)
      : table_(table), next_(std::move(next)) {}

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
  std::vector<int>& table_;
  std::vector<int> next_;
};

TEST(OwnScheduleTest, OneByOne) {
  std::vector<int> prices = {1, 2}, stock = {3, 4};
  std::atomic<bool> stop{false};
  ControlledThread reader = StartPassiveThread("reader", [&] {
    while (!stop && Lookup(prices, 0) + Lookup(stock, 0) >= 0) UpdatePoint();
  });
  const absl::Cleanup end = [&stop] { stop = true; };
  OneByOne update(
      "tables", {std::make_shared<SwapTable>(prices, std::vector<int>{10, 20}),
                 std::make_shared<SwapTable>(stock, std::vector<int>{30, 40})});
  const auto forecast = update.Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->steps, ElementsAre("swap the table", "swap the table"));
  ASSERT_EQ(update.Apply({}), absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(10, 20));
  EXPECT_THAT(stock, ElementsAre(30, 40));
  EXPECT_EQ(update.Progress().phase, UpdatePhase::kApplied);
  EXPECT_GE(update.Progress().attempts, 2);
  ASSERT_EQ(update.Undo({}), absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(1, 2));
  EXPECT_THAT(stock, ElementsAre(3, 4));

  // The same mechanism in a plan, in a thread, and alone.
  UpdatePlan plan("plan");
  plan.Add(std::make_shared<SwapTable>(prices, std::vector<int>{10, 20}));
  EXPECT_EQ(MakeUpdate(std::move(plan))->Apply({}), absl::OkStatus());
  ThreadUpdates threads("threads");
  threads.Add("reader",
              std::make_shared<SwapTable>(prices, std::vector<int>{11, 21}));
  EXPECT_EQ(MakeUpdate(std::move(threads))->Apply({}), absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(11, 21));
  EXPECT_EQ(
      Apply(std::make_shared<SwapTable>(prices, std::vector<int>{12, 22})),
      absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(12, 22));
  // One that cannot be is refused by its own words.
  EXPECT_TRUE(absl::IsInvalidArgument(
      Apply(std::make_shared<SwapTable>(prices, std::vector<int>{}))));
  // Where threads are stopped at any instruction, as far as they own no lock of
  // the allocator.
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EXPECT_EQ(Apply(std::make_shared<SwapTable>(prices, std::vector<int>{13, 23}),
                  Stacks::kAllThreads),
            absl::OkStatus());
  EXPECT_THAT(prices, ElementsAre(13, 23));
}

}  // namespace
}  // namespace instar
