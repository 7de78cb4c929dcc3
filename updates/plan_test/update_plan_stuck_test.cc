// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Code of an update's author that does not return while threads are held: the
// program goes on, and the update is given up.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "base/no_allocation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/plan_test/product_for_test.h"
#include "updates/testing/within.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using updates_test::Product;
using updates_test::ProductV2;

// Has a lock of the program whenever it is held.
class Owner {
 public:
  Owner()
      : thread_(StartPassiveThread("owner", [this] {
          while (!stop_) {
            {
              std::lock_guard<std::mutex> lock(lock_);
              UpdatePoint();
            }
            ++rounds_;
            // Not before it has been released: it would be held here.
            while (visitors_ > 0) std::this_thread::yield();
          }
        })) {
    AwaitRounds();
  }
  ~Owner() { stop_ = true; }

  pid_t tid() const { return thread_.ref().tid(); }
  // It runs.
  void AwaitRounds() {
    const long before = rounds_;
    while (rounds_ < before + 2) std::this_thread::yield();
  }
  void Visit() {
    const AuthorsPart on_purpose(nullptr);  // what a checked world ends
    ++visitors_;
    std::lock_guard<std::mutex> lock(lock_);
    --visitors_;
  }

 private:
  std::mutex lock_;
  std::atomic<bool> stop_{false};
  std::atomic<long> rounds_{0};
  std::atomic<int> visitors_{0};
  ControlledThread thread_;
};

// Until the threads were held in time, which a busy machine may not do at once:
// with nothing done, it can be tried again.
absl::Status ApplyHeld(Update& update, std::chrono::nanoseconds timeout) {
  absl::Status status;
  do {
    status = update.Apply(Within(timeout));
  } while (absl::IsDeadlineExceeded(status));
  return status;
}

void ExpectGivenUp(Update& update, const absl::Status& status) {
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("hook before the update"),
                    HasSubstr("the state of the program is unknown")));
  EXPECT_EQ(update.Progress().phase, UpdatePhase::kBroken);
  EXPECT_TRUE(absl::IsFailedPrecondition(update.Apply({})));
}

TEST(UpdatePlanStuckTest, AHookThatWaitsForALockOfAHeldThread) {
  Owner owner;
  bool goes_on = false;
  UpdatePlan plan("stuck");
  plan.Before([&] {
    owner.Visit();
    return absl::OkStatus();
  });
  plan.After([&] {
    goes_on = true;
    return absl::OkStatus();
  });
  const auto update = MakeUpdate(std::move(plan));
  const absl::Status status = ApplyHeld(*update, std::chrono::seconds(2));
  ExpectGivenUp(*update, status);
  // Threads of the tests have the name of the program.
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("which waits for a lock that thread " +
                        std::to_string(owner.tid()) + " ('"));
  EXPECT_FALSE(goes_on);
  owner.AwaitRounds();
}

TEST(UpdatePlanStuckTest, ItCanBeCancelled) {
  Owner owner;
  std::atomic<bool> begun{false};
  UpdatePlan plan("stuck");
  plan.OnlyRegisteredThreads();  // or the canceller would be stopped
  plan.Before([&] {
    begun = true;
    owner.Visit();
    return absl::OkStatus();
  });
  const auto update = MakeUpdate(std::move(plan));
  std::thread canceller([&] {
    while (!begun) std::this_thread::yield();
    update->Cancel();
  });
  ExpectGivenUp(*update, update->Apply(Within(std::chrono::hours(1))));
  canceller.join();
  owner.AwaitRounds();
}

// It still runs: others see what and where, and the program goes on.
TEST(UpdatePlanStuckTest, WhatStillRunsIsShown) {
  Owner owner;
  std::atomic<bool> leave{false};
  UpdatePlan plan("stuck");
  plan.Before([&] {
    while (!leave) std::this_thread::yield();
    return absl::OkStatus();
  });
  const auto update = MakeUpdate(std::move(plan));
  absl::Status status;
  std::atomic<bool> has_ended{false};
  std::thread applier([&] {
    status = ApplyHeld(*update, std::chrono::seconds(2));
    has_ended = true;
  });
  UpdateProgress progress;
  while (progress.phase != UpdatePhase::kBroken && !has_ended) {
    progress = update->Progress();
  }
  EXPECT_EQ(progress.blockers.size(), 1u);
  EXPECT_THAT(progress.blockers[0].reason,
              AllOf(HasSubstr("hook before the update still runs, in thread "),
                    HasSubstr("the threads have been released")));
  owner.AwaitRounds();
  {
    auto rendezvous = Rendezvous::HoldAll();
    EXPECT_TRUE(rendezvous.ok()) << rendezvous.status();
  }
  leave = true;
  applier.join();
  ExpectGivenUp(*update, status);
}

// Where nothing was changed, nothing is lost.
class SlowToBeReady : public Mechanism {
 public:
  explicit SlowToBeReady(Owner& owner) : owner_(owner) {}
  std::string name() const override { return "a step"; }
  Attempt Ready(const StoppedWorld&, Direction) override {
    if (waits) owner_.Visit();
    return Attempt::Done();
  }
  Attempt Apply(const StoppedWorld&) override { return Attempt::Done(); }
  Attempt Undo(const StoppedWorld&) override { return Attempt::Done(); }

  bool waits = true;

 private:
  Owner& owner_;
};

TEST(UpdatePlanStuckTest, AStepThatDoesNotSayWhetherItIsReady) {
  Owner owner;
  auto made = std::make_shared<SlowToBeReady>(owner);
  SlowToBeReady& step = *made;
  UpdatePlan plan("stuck");
  plan.Add(std::move(made));
  const auto update = MakeUpdate(std::move(plan));
  constexpr char kDoesNotSay[] = "had not said whether it is ready";
  absl::Status status;
  do {  // until the owner was held in time
    status = update->Apply(Within(std::chrono::seconds(2)));
    ASSERT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  } while (!absl::StrContains(status.message(), kDoesNotSay));
  // It may still be where it let the visitor pass. If it were held there, it
  // would not have the lock.
  owner.AwaitRounds();
  do {  // the same: until then the answer is that it came to no update point
    status = update->Rehearse({}).status();
  } while (status.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(kDoesNotSay));
  step.waits = false;
  EXPECT_EQ(update->Apply(Within(std::chrono::hours(1))), absl::OkStatus());
}

// A class whose next version waits, where it is converted, for a lock.
struct WaitingV2 : ProductV2 {
  using ProductV2::ProductV2;
  void Convert() {
    ++conversions;
    owner->Visit();
  }
  static inline Owner* owner = nullptr;
  static inline std::atomic<int> conversions{0};
};

void ExpectConversionGivenUp(Update& update, const absl::Status& status,
                             const std::string& change) {
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("convert " + change + ", eagerly had not returned"),
            HasSubstr("which waits for a lock that thread "),
            HasSubstr("the state of the program is unknown")));
  EXPECT_EQ(update.Progress().phase, UpdatePhase::kBroken);
}

TEST(UpdatePlanStuckTest, AConvertThatWaitsForALockOfAHeldThread) {
  std::vector<std::unique_ptr<Product>> products;
  for (int i = 0; i < 10; ++i) products.push_back(std::make_unique<Product>(i));
  Owner owner;
  WaitingV2::conversions = 0;
  WaitingV2::owner = &owner;
  UpdatePlan plan("stuck");
  plan.ConvertEagerly<Product, WaitingV2>();
  const auto update = MakeUpdate(std::move(plan));
  ExpectConversionGivenUp(*update, ApplyHeld(*update, std::chrono::seconds(1)),
                          "instar::updates_test::Product -> "
                          "instar::(anonymous namespace)::WaitingV2");
  // No other object is converted while threads run.
  EXPECT_EQ(WaitingV2::conversions, 1);
  owner.AwaitRounds();
}

// What is only taken back, and what only moves.
struct Order : Updatable<Order> {
  virtual int Version() const { return 1; }
};
struct OrderV2 : Order {
  explicit OrderV2(Order&& old) noexcept : Order(std::move(old)) {}
  int Version() const override { return 2; }
  void ConvertBack() noexcept {
    ++conversions;
    owner->Visit();
  }
  static inline Owner* owner = nullptr;
  static inline std::atomic<int> conversions{0};
};

TEST(UpdatePlanStuckTest, AConvertBackThatWaitsForALockOfAHeldThread) {
  std::vector<std::unique_ptr<Order>> orders;
  for (int i = 0; i < 10; ++i) orders.push_back(std::make_unique<Order>());
  Owner owner;
  OrderV2::owner = &owner;
  UpdatePlan plan("stuck");
  plan.ConvertEagerly<Order, OrderV2>();
  const auto update = MakeUpdate(std::move(plan));
  ASSERT_EQ(update->Apply(Within(std::chrono::seconds(30))), absl::OkStatus());
  absl::Status status;
  do {
    status = update->Undo(Within(std::chrono::seconds(1)));
  } while (absl::IsDeadlineExceeded(status));
  ExpectConversionGivenUp(*update, status,
                          "instar::(anonymous namespace)::Order -> "
                          "instar::(anonymous namespace)::OrderV2");
  EXPECT_EQ(OrderV2::conversions, 1);
  owner.AwaitRounds();
}

struct Site : Updatable<Site> {
  virtual int Version() const { return 1; }
};
struct SiteV2 : Site {
  explicit SiteV2(Site&& old) noexcept : Site(std::move(old)) {
    ++conversions;
    owner->Visit();
  }
  int Version() const override { return 2; }
  static inline Owner* owner = nullptr;
  static inline std::atomic<int> conversions{0};
};

TEST(UpdatePlanStuckTest, AConstructorThatWaitsForALockOfAHeldThread) {
  std::vector<std::unique_ptr<Site>> sites;
  for (int i = 0; i < 10; ++i) sites.push_back(std::make_unique<Site>());
  Owner owner;
  SiteV2::owner = &owner;
  UpdatePlan plan("stuck");
  plan.ConvertEagerly<Site, SiteV2>();
  const auto update = MakeUpdate(std::move(plan));
  ExpectConversionGivenUp(*update, ApplyHeld(*update, std::chrono::seconds(1)),
                          "instar::(anonymous namespace)::Site -> "
                          "instar::(anonymous namespace)::SiteV2");
  EXPECT_EQ(SiteV2::conversions, 1);
  owner.AwaitRounds();
}

// One that goes on in the background holds nobody, and lets others be given up.
struct Pot : Updatable<Pot> {
  virtual int Version() const { return 1; }
};
struct PotV2 : Pot {
  explicit PotV2(Pot&& old) noexcept : Pot(std::move(old)) {}
  int Version() const override { return 2; }
  void Convert() {
    has_begun = true;
    while (waits) std::this_thread::yield();
  }
  static inline std::atomic<bool> has_begun{false};
  static inline std::atomic<bool> waits{true};
};

TEST(UpdatePlanStuckTest, AConvertInTheBackgroundThatDoesNotReturn) {
  std::vector<std::unique_ptr<Pot>> pots;
  for (int i = 0; i < 10; ++i) pots.push_back(std::make_unique<Pot>());
  UpdatePlan progressive("progressive");
  progressive.ConvertProgressively<Pot, PotV2>();
  const auto first = MakeUpdate(std::move(progressive));
  ASSERT_EQ(first->Apply(Within(std::chrono::hours(1))), absl::OkStatus());
  while (!PotV2::has_begun) std::this_thread::yield();
  UpdatePlan plan("next");
  plan.Before([] { return absl::OkStatus(); });
  const auto next = MakeUpdate(std::move(plan));
  const absl::Status status =
      next->Apply(Within(std::chrono::milliseconds(100)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("goes on in the background, is in a Convert() that "
                        "does not return"));
  PotV2::waits = false;
  EXPECT_EQ(next->Apply(Within(std::chrono::hours(1))), absl::OkStatus());
}

// A conversion that takes longer than the time it has, and comes on, is not
// given up.
struct Slow : Updatable<Slow> {
  virtual int Version() const { return 1; }
};
struct SlowV2 : Slow {
  explicit SlowV2(Slow&& old) noexcept : Slow(std::move(old)) {}
  int Version() const override { return 2; }
  void Convert() {
    // The unit under test is a watch with a clock: this is no wait for it.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
};

TEST(UpdatePlanStuckTest, AConversionThatComesOnIsNotGivenUp) {
  std::vector<std::unique_ptr<Slow>> objects;
  for (int i = 0; i < 30; ++i) objects.push_back(std::make_unique<Slow>());
  UpdatePlan plan("slow");
  plan.ConvertEagerly<Slow, SlowV2>();
  const auto update = MakeUpdate(std::move(plan));
  EXPECT_EQ(ApplyHeld(*update, std::chrono::milliseconds(1)), absl::OkStatus());
  EXPECT_EQ(objects.back()->Version(), 2);
}

// What is meant to take a lock of the program finds it free where threads own
// none.
TEST(UpdatePlanStuckTest, AtANamedUpdatePointTheLocksAreFree) {
  std::mutex lock;
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("owner", [&] {
    while (!stop) {
      {
        std::lock_guard<std::mutex> owns(lock);
        UpdatePoint();
      }
      UpdatePoint("between requests");
    }
  });
  for (int i = 0; i < 20; ++i) {
    UpdatePlan plan("locks");
    plan.AtUpdatePoint("between requests");
    plan.Before([&] {
      std::lock_guard<std::mutex> owns(lock);
      return absl::OkStatus();
    });
    const auto update = MakeUpdate(std::move(plan));
    EXPECT_EQ(update->Apply(Within(std::chrono::hours(1))), absl::OkStatus());
  }
  stop = true;
}

}  // namespace
}  // namespace instar
