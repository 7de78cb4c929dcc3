// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Plans that fail: they are applied as one, or not at all, and undone likewise.

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "code/redefinable.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/thread_ref.h"
#include "threads/update_point.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/plan_test/product_for_test.h"
#include "updates/testing/functions_for_test.h"
#include "updates/testing/within.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

// Converted eagerly.
struct FallibleV2 : ProductV2 {
  using ProductV2::ProductV2;
  absl::Status Convert() {
    return left-- == 0 ? absl::AbortedError("not this product")
                       : absl::OkStatus();
  }
  static inline int left = -1;  // how many can be converted; -1: all
};

// Converted lazily.
struct Order : Updatable<Order> {
  explicit Order(int a) : amount(a) {}
  virtual int Version() const { return 1; }
  int amount;
};
struct OrderV2 : Order {
  explicit OrderV2(Order&& old) noexcept : Order(std::move(old)) {}
  int Version() const override { return 2; }
  int mark = 6;
};

Redefinable<int(int)> slot(&Price3);

// What the program's threads do. Not in Program: a new thread is detached.
std::atomic<bool> stop{false};
std::array<std::atomic<int>, 3> display_starts;  // of each version
std::atomic<long> display_rounds{0}, extra_rounds{0};
std::atomic<int> extra_starts{0};

void Display(int version) {
  ++display_starts[version];
  while (!stop) {
    ++display_rounds;
    UpdatePoint();
  }
}

void Extra() {
  ++extra_starts;
  while (!stop) {
    ++extra_rounds;
    UpdatePoint();
  }
}

void Until(const std::function<bool()>& is) {
  while (!is()) std::this_thread::yield();
}

// A thread that is to be rebooted, or to end, does not pass two update points.
void ExpectGoesOn(const std::atomic<long>& rounds) {
  const long seen = rounds;
  Until([&] { return rounds >= seen + 3; });
}

// How often each hook took effect and was taken back.
struct Hooks {
  int before = 0, before_undone = 0, after = 0, after_undone = 0;
};

UpdatePlan::Hook Count(int& calls) {
  return [&calls] {
    ++calls;
    return absl::OkStatus();
  };
}

enum class Way { kNone, kStatus, kException, kOddException };

absl::Status Fail(Way way) {
  switch (way) {
    case Way::kNone:
      return absl::OkStatus();
    case Way::kStatus:
      return absl::AbortedError("not today");
    case Way::kException:
      throw std::runtime_error("not today");
    case Way::kOddException:
      throw 7;
  }
  return absl::OkStatus();
}

void ExpectFailed(const absl::Status& status, Way way) {
  EXPECT_EQ(status.code(), way == Way::kStatus ? absl::StatusCode::kAborted
                                               : absl::StatusCode::kInternal)
      << status;
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr(way == Way::kOddException ? "no std::exception" : "not today"));
}

// Fails as it is told at the moment.
struct Fault {
  Way apply = Way::kNone, undo = Way::kNone;
  Way cancel_apply = Way::kNone, cancel_undo = Way::kNone;
};
class Faulty final : public Mechanism {
 public:
  Faulty(std::string name, const Fault& fault)
      : name_(std::move(name)), fault_(fault) {}
  std::string name() const override { return name_; }
  Attempt Apply(const StoppedWorld&) override { return Change(fault_.apply); }
  Attempt Undo(const StoppedWorld&) override { return Change(fault_.undo); }
  Attempt RollBack(const StoppedWorld&, Direction direction) override {
    return Change(direction == Direction::kApply ? fault_.cancel_apply
                                                 : fault_.cancel_undo);
  }

 private:
  static Attempt Change(Way way) {
    absl::Status status = Fail(way);
    return status.ok() ? Attempt::Done() : Attempt::Failed(std::move(status));
  }

  const std::string name_;
  const Fault& fault_;
};

// A program with something of every kind that plans change.
class Program {
 public:
  static constexpr int kObjects = 10;

  Program() {
    stop = false;
    for (auto& starts : display_starts) starts = 0;
    extra_starts = 0;
    for (int i = 0; i < kObjects; ++i) {
      products_.push_back(std::make_unique<Product>(i));
      orders_.push_back(std::make_unique<Order>(i));
      addresses_.push_back(products_[i].get());
      addresses_.push_back(orders_[i].address());
    }
    display_ = StartPassiveThread("display", [] { Display(1); });
    // Uses what is changed, and sees one version of it at a time.
    customer_ = StartPassiveThread("customer", [this] {
      while (!stop) {
        const int version = Price(0) / 100;
        if (Send(1) != version + 1 || products_[0]->Version() != version ||
            orders_[0]->Version() != version) {
          ++mixed_;
        }
        ++customer_rounds_;
        UpdatePoint();
      }
    });
    Until([] { return display_starts[1] == 1; });
    displays_[1] = 1;
  }
  ~Program() {
    stop = true;
    Until([] { return ControlledThreads("extra").empty(); });
  }

  // Of these places for a fault, one may have it.
  static constexpr int kPlaces = 10;
  std::unique_ptr<Update> Everything(int place) {
    hooks = {};
    fault = {};
    UpdatePlan plan("everything");
    int at = 0;
    const auto fault_hook =
        [&](void (UpdatePlan::*add)(UpdatePlan::Hook, UpdatePlan::Hook)) {
          if (at++ != place) return;
          (plan.*add)([this] { return Fail(fault.apply); },
                      [this] { return Fail(fault.undo); });
        };
    const auto fault_step = [&] {
      if (at++ != place) return;
      plan.Add(std::make_shared<Faulty>("the fault", fault));
    };
    fault_hook(&UpdatePlan::Before);
    plan.Before(Count(hooks.before), Count(hooks.before_undone));
    fault_hook(&UpdatePlan::Before);
    fault_step();
    plan.Redefine(Price, &Price2);
    plan.Redefine(Send, &Send2);
    plan.Redefine(slot, &Dwell);
    fault_step();
    plan.ConvertEagerly<Product, FallibleV2>();
    fault_step();
    plan.ConvertLazily<Order, OrderV2>();
    fault_step();
    plan.Reboot(
        "display", [] { Display(2); }, [] { Display(1); });
    fault_step();
    plan.StartPassiveThread("extra", &Extra);
    fault_step();
    fault_hook(&UpdatePlan::After);
    plan.After(Count(hooks.after), Count(hooks.after_undone));
    fault_hook(&UpdatePlan::After);
    EXPECT_EQ(at, kPlaces);
    return MakeUpdate(std::move(plan));
  }

  // `is_change`: from the other version, which starts threads anew.
  void Expect(int version, bool is_change, const Update& update) {
    EXPECT_EQ(update.Progress().phase,
              version == 1 ? UpdatePhase::kPrepared : UpdatePhase::kApplied);
    EXPECT_EQ(Price(1), 100 * version + 1);
    EXPECT_EQ(Send(1), version + 1);
    EXPECT_EQ(slot(1), version == 1 ? 301 : 2);
    for (int i = 0; i < kObjects; ++i) {
      const Product* const product = products_[i].get();
      EXPECT_EQ(product, addresses_[2 * i]);
      EXPECT_EQ(product->Version(), version);
      EXPECT_EQ(product->stock, i);
      EXPECT_TRUE(typeid(*product) ==
                  (version == 1 ? typeid(Product) : typeid(FallibleV2)));
      const Order* const order = orders_[i].get();
      EXPECT_EQ(order, addresses_[2 * i + 1]);
      EXPECT_EQ(order->Version(), version);
      EXPECT_EQ(order->amount, i);
      EXPECT_TRUE(typeid(*order) ==
                  (version == 1 ? typeid(Order) : typeid(OrderV2)));
      if (version == 1) continue;
      EXPECT_EQ(version_cast<FallibleV2>(product)->mark, 5);
      EXPECT_EQ(version_cast<OrderV2>(order)->mark, 6);
    }
    if (is_change) {
      ++displays_[version];
      Until([&] { return display_starts[version] == displays_[version]; });
      extras_ += version == 2;
      Until([&] { return extra_starts == extras_; });
      if (version == 1) {
        Until([] { return ControlledThreads("extra").empty(); });
      }
    }
    ExpectGoesOn(display_rounds);
    ExpectGoesOn(customer_rounds_);
    EXPECT_EQ(display_starts[1], displays_[1]);
    EXPECT_EQ(display_starts[2], displays_[2]);
    EXPECT_EQ(ControlledThreads("extra").size(), version == 1 ? 0u : 1u);
    EXPECT_EQ(update.StartedThreads().size(), version == 1 ? 0u : 1u);
    if (version == 2) ExpectGoesOn(extra_rounds);
    EXPECT_EQ(extra_starts, extras_);
    EXPECT_EQ(hooks.before - hooks.before_undone, version - 1);
    EXPECT_EQ(hooks.after - hooks.after_undone, version - 1);
    EXPECT_EQ(mixed_, 0);
  }

  Fault fault;
  Hooks hooks;

 private:
  std::vector<std::unique_ptr<Product>> products_;
  std::vector<LazyUnique<Order>> orders_;
  std::vector<const void*> addresses_;
  std::array<int, 3> displays_{};  // how often display has begun each version
  int extras_ = 0;
  std::atomic<int> mixed_{0};
  std::atomic<long> customer_rounds_{0};
  ControlledThread display_, customer_;
};

constexpr Way kWays[] = {Way::kStatus, Way::kException, Way::kOddException};

TEST(UpdatePlanRollbackTest, AFaultAnywhereLeavesAllAsItWas) {
  Program program;
  for (int place = 0; place < Program::kPlaces; ++place) {
    SCOPED_TRACE(testing::Message() << "place " << place);
    const auto update = program.Everything(place);
    int failures = 0;
    for (const Way way : kWays) {
      program.fault.apply = way;
      ExpectFailed(update->Apply(kPatiently), way);
      ++failures;
      // What comes before the fault was done, and nothing that comes after it.
      EXPECT_EQ(program.hooks.before, place > 0 ? failures : 0);
      EXPECT_EQ(program.hooks.after,
                place == Program::kPlaces - 1 ? failures : 0);
      program.Expect(1, /*is_change=*/false, *update);
    }
    program.fault = {};
    ASSERT_EQ(update->Apply(kPatiently), absl::OkStatus());
    program.Expect(2, /*is_change=*/true, *update);
    ASSERT_EQ(update->Undo(kPatiently), absl::OkStatus());
    program.Expect(1, /*is_change=*/true, *update);
  }
}

TEST(UpdatePlanRollbackTest, AFaultAnywhereOfAnUndoLeavesAllApplied) {
  Program program;
  for (int place = 0; place < Program::kPlaces; ++place) {
    SCOPED_TRACE(testing::Message() << "place " << place);
    const auto update = program.Everything(place);
    ASSERT_EQ(update->Apply(kPatiently), absl::OkStatus());
    program.Expect(2, /*is_change=*/true, *update);
    int failures = 0;
    for (const Way way : kWays) {
      program.fault.undo = way;
      ExpectFailed(update->Undo(kPatiently), way);
      ++failures;
      EXPECT_EQ(program.hooks.before_undone, place == 0 ? failures : 0);
      EXPECT_EQ(program.hooks.after_undone,
                place < Program::kPlaces - 1 ? failures : 0);
      program.Expect(2, /*is_change=*/false, *update);
    }
    program.fault = {};
    ASSERT_EQ(update->Undo(kPatiently), absl::OkStatus());
    program.Expect(1, /*is_change=*/true, *update);
  }
}

TEST(UpdatePlanRollbackTest, AConverterThatFailsLeavesAllAsItWas) {
  Program program;
  const auto update = program.Everything(-1);
  for (int i = 0; i < Program::kObjects; ++i) {
    FallibleV2::left = i;
    const absl::Status status = update->Apply(kPatiently);
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("FallibleV2"), HasSubstr("not this product")));
    EXPECT_EQ(FallibleV2::left, -1);  // it has come to that one
    program.Expect(1, /*is_change=*/false, *update);
  }
  ASSERT_EQ(update->Apply(kPatiently), absl::OkStatus());
  program.Expect(2, /*is_change=*/true, *update);
  ASSERT_EQ(update->Undo(kPatiently), absl::OkStatus());
  program.Expect(1, /*is_change=*/true, *update);
}

// The update is given up then, whatever is asked of it.
void ExpectBroken(Update& update) {
  EXPECT_EQ(update.Progress().phase, UpdatePhase::kBroken);
  EXPECT_TRUE(absl::IsFailedPrecondition(update.Prepare().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(update.Rehearse({}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(update.Apply({})));
  EXPECT_TRUE(absl::IsFailedPrecondition(update.CanUndo()));
  EXPECT_TRUE(absl::IsFailedPrecondition(update.Undo({})));
}

TEST(UpdatePlanRollbackTest, WhatCannotBeTakenBackIsNamed) {
  for (const Way way : kWays) {
    for (const bool is_undo : {false, true}) {
      Fault last, first;
      UpdatePlan plan("sticky");
      plan.Add(std::make_shared<Faulty>("the first", first));
      plan.Add(std::make_shared<Faulty>("the last", last));
      const auto update = MakeUpdate(std::move(plan));
      if (is_undo) {
        ASSERT_EQ(update->Apply({}), absl::OkStatus());
        first.undo = last.cancel_undo = way;
      } else {
        last.apply = first.cancel_apply = way;
      }
      const absl::Status status =
          is_undo ? update->Undo({}) : update->Apply({});
      EXPECT_TRUE(absl::IsDataLoss(status)) << status;
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr("the last: "), HasSubstr("the first: ")));
      ExpectBroken(*update);
    }
  }
}

// A hook that nothing undoes stays in effect, and the error says so.
TEST(UpdatePlanRollbackTest, AHookWithoutUndoIsNamed) {
  Fault last;
  int calls = 0, calls_with_undo = 0, undone = 0;
  UpdatePlan plan("hooked");
  plan.Before(Count(calls));
  plan.Before(Count(calls_with_undo), Count(undone));
  plan.Add(std::make_shared<Faulty>("the last", last));
  const auto update = MakeUpdate(std::move(plan));
  last.apply = Way::kStatus;
  const absl::Status status = update->Apply({});
  ExpectFailed(status, Way::kStatus);
  EXPECT_EQ(status.message(),
            "the last: not today; what the hook before the update did stays in "
            "effect: it has nothing that undoes it");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(undone, 1);
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
  last = {};
  EXPECT_EQ(update->Apply({}), absl::OkStatus());
}

}  // namespace
}  // namespace instar
