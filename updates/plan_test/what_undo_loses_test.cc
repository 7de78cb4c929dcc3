// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether an update can be undone, and what that would lose, is said before it
// is applied; and it is so.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/updatable.h"
#include "stack/stack_snapshot.h"
#include "threads/known_names.h"
#include "updates/mechanisms/replace_when_held.h"
#include "updates/mechanisms/transfer.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {
namespace updates_test {

int counted = 3;

}  // namespace updates_test
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Order : Updatable<Order> {
  explicit Order(int n) : number(n) {}
  virtual int Version() const { return 1; }
  int number;
};
struct OrderV2 : Order {
  explicit OrderV2(Order&& old) noexcept : Order(std::move(old)) {}
  int Version() const override { return 2; }
  int priority = 5;
};

struct Invoice : Updatable<Invoice> {
  virtual int Cents() const { return euros * 100; }
  int euros = 1;
};
struct InvoiceV2 : Invoice {
  explicit InvoiceV2(Invoice&& old) noexcept : Invoice(std::move(old)) {}
  void ConvertBack() noexcept { euros += cents / 100; }
  int Cents() const override { return euros * 100 + cents; }
  int cents = 0;
};

std::shared_ptr<Mechanism> TransferOfCounted() {
  static long to = 0;
  return Transfer<int, long>("instar::updates_test::counted", &to,
                             [](const int& old, long& made) {
                               made = old;
                               return absl::OkStatus();
                             });
}

const char kOfOrders[] =
    "eagerly: what only objects of the new version hold; those that were made "
    "since become objects of the old one, too";

TEST(WhatUndoLosesTest, IsSaidBeforeAndAfter) {
  UpdatePlan plan("all");
  plan.ConvertEagerly<Order, OrderV2>();
  plan.ConvertLazily<Invoice, InvoiceV2>();
  plan.Add(TransferOfCounted());
  plan.StartPassiveThread("till", [] {});
  plan.After([] { return absl::OkStatus(); }, [] { return absl::OkStatus(); });
  const auto update = MakeUpdate(std::move(plan));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->can_undo, absl::OkStatus());
  EXPECT_THAT(
      forecast->lost_by_undo,
      ElementsAre(AllOf(StartsWith("convert "), EndsWith(kOfOrders)),
                  HasSubstr("new version hold, but for what its ConvertBack() "
                            "puts into their old part; those"),
                  HasSubstr("counted: what the new version has changed of it"),
                  HasSubstr("'till': what it has in local variables")));
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  EXPECT_EQ(update->LostByUndo(), forecast->lost_by_undo);
  EXPECT_EQ(update->Undo({}), absl::OkStatus());
}

TEST(WhatUndoLosesTest, ObjectsThatWereMadeSinceBecomeOld) {
  const auto before = std::make_unique<Order>(1);
  UpdatePlan plan("orders");
  plan.ConvertEagerly<Order, OrderV2>();
  const auto update = MakeUpdate(std::move(plan));
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  const std::unique_ptr<Order> since = std::make_unique<OrderV2>(Order(2));
  version_cast<OrderV2>(before.get())->priority = 7;
  EXPECT_EQ(since->Version(), 2);
  ASSERT_EQ(update->Undo({}), absl::OkStatus());
  EXPECT_EQ(before->Version(), 1);
  EXPECT_EQ(since->Version(), 1);
  EXPECT_EQ(since->number, 2);
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  EXPECT_EQ(version_cast<OrderV2>(before.get())->priority, 5);  // it was lost
  EXPECT_EQ(update->Undo({}), absl::OkStatus());
}

TEST(WhatUndoLosesTest, ARebootWithoutAWayBackIsForGood) {
  DeclareThread("scales");
  UpdatePlan plan("for good");
  plan.Reboot("scales", [] {});
  const auto forecast = MakeUpdate(std::move(plan))->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->can_undo,
            absl::FailedPreconditionError(
                "thread 'scales' is rebooted, and the update does not say what "
                "it runs when that is undone"));

  UpdatePlan with_way_back("and back");
  with_way_back.Reboot(
      "scales", [] {}, [] {});
  const auto other = MakeUpdate(std::move(with_way_back))->Prepare();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->can_undo, absl::OkStatus());
  EXPECT_THAT(other->lost_by_undo,
              ElementsAre(HasSubstr("thread 'scales': what its new function "
                                    "has in local variables")));
}

__attribute__((noinline)) int Weigh(int grams) { return grams + 1; }
__attribute__((noinline)) int WeighRest(int grams) { return grams + 2; }

TEST(WhatUndoLosesTest, WhatAReplacedActivationHas) {
  DeclareThread("scales");
  const auto capture = [](StackBounds) { return absl::StatusOr<int>(1); };
  UpdatePlan plan("and back");
  plan.Add(ReplaceWhenHeld("scales", {Replacement(&Weigh, &WeighRest, capture)},
                           {Replacement(&WeighRest, &Weigh, capture)}));
  const auto forecast = MakeUpdate(std::move(plan))->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->can_undo, absl::OkStatus());
  EXPECT_THAT(forecast->lost_by_undo,
              ElementsAre(HasSubstr("thread 'scales': what the new function "
                                    "has in local variables, but for what")));

  UpdatePlan for_good("for good");
  for_good.Add(ReplaceWhenHeld("scales", &Weigh, &WeighRest, capture));
  const auto other = MakeUpdate(std::move(for_good))->Prepare();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(other->can_undo));
  EXPECT_THAT(other->lost_by_undo, IsEmpty());
}

TEST(WhatUndoLosesTest, ThreadUpdatesSayItToo) {
  DeclareThread("counter");
  ThreadUpdates threads("counter");
  threads.Add("counter", TransferOfCounted());
  const auto forecast = MakeUpdate(std::move(threads))->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->can_undo, absl::OkStatus());
  EXPECT_THAT(forecast->lost_by_undo,
              ElementsAre("thread 'counter': transfer "
                          "instar::updates_test::counted: what the new version "
                          "has changed of it"));

  ThreadUpdates for_good("for good");
  for_good.SetUpdateFunction("counter",
                             [](UpdateContext&) { return Attempt::Done(); });
  const auto other = MakeUpdate(std::move(for_good))->Prepare();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->can_undo,
            absl::FailedPreconditionError(
                "thread 'counter': update function has no undo"));
  EXPECT_THAT(other->lost_by_undo, IsEmpty());
}

}  // namespace
}  // namespace instar
