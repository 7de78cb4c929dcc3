// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/convert.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "base/testing/sanitizers.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/lazy_proxy.h"
#include "heap/weak_object_pool.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/convert_test/class_functions_for_test.h"
#include "updates/mechanisms/convert_test/items_for_test.h"
#include "updates/testing/within.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace updates_test;  // NOLINT: the functions under test

// Is inside of a Store, at update points, until it may leave.
class Visiting {
 public:
  // `enter` runs what it is given inside of a Store. (No name here has the
  // class in it: this thread's own functions would be functions of the class.)
  explicit Visiting(std::function<void(const Call&)> enter)
      : thread_(StartPassiveThread("visitor", [this, enter] {
          enter([this] {
            inside_ = true;
            while (!leave_) UpdatePoint();
          });
          while (!stop_) UpdatePoint();
        })) {
    while (!inside_) std::this_thread::yield();
  }
  ~Visiting() { leave_ = stop_ = true; }
  void Leave() { leave_ = true; }
  ThreadRef ref() const { return thread_.ref(); }

 private:
  std::atomic<bool> inside_{false}, leave_{false}, stop_{false};
  ControlledThread thread_;
};

constexpr std::chrono::seconds kLong(60);
constexpr char kInOpen[] = "active: instar::updates_test::Store::Open(";

// Waits until the request says "not yet" for a reason like this one.
void AwaitReason(const UpdateRequest& request, const std::string& part) {
  while (request.reason().find(part) == std::string::npos) {
    ASSERT_FALSE(request.is_finished()) << request.reason();
    std::this_thread::yield();
  }
}

TEST(ConvertTest, EagerlyInAThreadAndBack) {
  auto store = std::make_unique<Store>("one");
  Looping worker("worker"), other("other");
  const Change update(ConvertEagerly<Store, StoreV2>());
  for (int i = 0; i < 3; ++i) {
    UpdateRequest request = SetUpdateFunction(worker.ref(), update);
    request.Trigger();
    ASSERT_TRUE(request.Await(kLong).ok()) << request.reason();
    EXPECT_TRUE(update.is_applied());
    EXPECT_EQ(store->Describe(), "one, marked 0");
    UpdateRequest undo = SetUpdateFunction(other.ref(), update.UndoFunction());
    undo.Trigger();
    ASSERT_TRUE(undo.Await(kLong).ok()) << undo.reason();
    EXPECT_FALSE(update.is_applied());
    EXPECT_EQ(store->Describe(), "one");
  }
}

TEST(ConvertTest, WaitsWhileAnotherThreadIsInside) {
  auto store = std::make_unique<Store>("one");
  Visiting visitor([&](const Call& call) { store->Open(call); });
  Looping worker("worker");
  Change update(ConvertEagerly<Store, StoreV2>());
  UpdateRequest request = SetUpdateFunction(worker.ref(), update);
  request.Trigger();
  AwaitReason(request, kInOpen);
  EXPECT_THAT(request.reason(), HasSubstr("thread 'visitor'"));
  EXPECT_THAT(request.reason(), HasSubstr("frame "));
  EXPECT_FALSE(IsStoreV2(store));
  visitor.Leave();
  ASSERT_TRUE(request.Await(kLong).ok()) << request.reason();
  EXPECT_TRUE(IsStoreV2(store));
  Attempt undo = update.Undo();
  while (undo.is_not_yet()) undo = update.Undo();
  EXPECT_TRUE(undo.is_done()) << undo.reason();
}

TEST(ConvertTest, WaitsWhileTheThreadItselfIsInside) {
  auto store = std::make_unique<Store>("one");
  for (const bool lazily : {false, true}) {
    Visiting visitor([&](const Call& call) { store->Open(call); });
    Change update = lazily ? Change(ConvertLazily<Store, StoreV2>())
                           : Change(ConvertEagerly<Store, StoreV2>());
    UpdateRequest request = SetUpdateFunction(visitor.ref(), update);
    request.Trigger();
    AwaitReason(request, kInOpen);
    EXPECT_THAT(request.reason(), HasSubstr("the thread that updates"));
    visitor.Leave();
    ASSERT_TRUE(request.Await(kLong).ok()) << request.reason();
    Attempt undo = update.Undo();
    while (undo.is_not_yet()) undo = update.Undo();
    EXPECT_TRUE(undo.is_done()) << undo.reason();
  }
}

TEST(ConvertTest, WaitsForAPausedContinulet) {
  auto store = std::make_unique<Store>("one");
  std::atomic<bool> paused{false}, resume{false}, stop{false};
  ControlledThread thread = StartPassiveThread("juggler", [&] {
    Continulet<void()> inside(
        "inside", [&](auto& self) { store->Open([&] { self.Switch(); }); });
    inside.Switch();
    paused = true;
    while (!resume) UpdatePoint();
    inside.Switch();
    while (!stop) UpdatePoint();
  });
  const auto end = absl::MakeCleanup([&] { resume = stop = true; });
  while (!paused) std::this_thread::yield();
  Change update(ConvertEagerly<Store, StoreV2>());
  Attempt attempt = update.Apply();
  while (attempt.reason().find(kInOpen) == std::string::npos) {
    ASSERT_TRUE(attempt.is_not_yet()) << attempt.reason();
    attempt = update.Apply();
  }
  EXPECT_THAT(attempt.reason(), HasSubstr("thread 'juggler'"));
  resume = true;
  while (attempt.is_not_yet()) attempt = update.Apply();
  EXPECT_TRUE(attempt.is_done()) << attempt.reason();
  attempt = update.Undo();
  while (attempt.is_not_yet()) attempt = update.Undo();
  EXPECT_TRUE(attempt.is_done()) << attempt.reason();
}

TEST(ConvertTest, FunctionsThatAreLeftOut) {
  auto store = std::make_unique<Store>("one");
  Visiting visitor([&](const Call& call) { store->Open(call); });
  ClassFunctionsOptions options;
  options.leave_out = {"instar::updates_test::Store::Open"};
  Change update(ConvertEagerly<Store, StoreV2>({}, options));
  Attempt attempt = update.Apply();
  while (attempt.is_not_yet()) attempt = update.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  EXPECT_TRUE(IsStoreV2(store));
  while ((attempt = update.Undo()).is_not_yet()) {
  }
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();

  options.leave_out = {"instar::updates_test::NoSuchFunction"};
  Change wrong(ConvertEagerly<Store, StoreV2>({}, options));
  EXPECT_TRUE(absl::IsNotFound(wrong.Prepare()));
  EXPECT_TRUE(wrong.Apply().is_failed());
}

TEST(ConvertTest, AThreadThatDoesNotComeIsNamed) {
  std::atomic<bool> runs{false}, stop{false};
  ControlledThread busy = StartPassiveThread("busy", [&] {
    runs = true;
    while (!stop) {
    }
  });
  const auto end = absl::MakeCleanup([&] { stop = true; });
  while (busy.state() == ThreadState::kNew) std::this_thread::yield();
  Change update(ConvertEagerly<Store, StoreV2>());
  ASSERT_TRUE(update.Prepare().ok());
  while (!runs) std::this_thread::yield();
  const Attempt attempt = update.Apply();
  ASSERT_TRUE(attempt.is_not_yet()) << attempt.reason();
  EXPECT_THAT(attempt.reason(), HasSubstr("thread 'busy'"));
  EXPECT_THAT(attempt.reason(), HasSubstr("no update point"));
  EXPECT_TRUE(update.Undo().is_done());
}

TEST(ConvertTest, OneOfSeveralThreadsDoesIt) {
  using Old = Item<1>;
  std::vector<std::unique_ptr<Old>> items(100);
  for (auto& item : items) item = std::make_unique<Old>();
  Looping one("one"), two("two"), three("three");
  const Change update(ConvertEagerly<Old, ItemV2<1>>());
  std::vector<UpdateRequest> requests;
  for (const ThreadRef& thread : {one.ref(), two.ref(), three.ref()}) {
    requests.push_back(SetUpdateFunction(thread, update));
  }
  for (UpdateRequest& request : requests) request.Trigger();
  for (UpdateRequest& request : requests) {
    EXPECT_TRUE(request.Await(kLong).ok()) << request.reason();
  }
  for (const auto& item : items) EXPECT_EQ(item->Version(), 2);
}

TEST(ConvertTest, AFailureLeavesEverythingAsItWas) {
  using Old = Item<2>;
  std::vector<std::unique_ptr<Old>> items(10);
  for (auto& item : items) item = std::make_unique<Old>();
  items[7]->fails_at = 2;
  Looping worker("worker");
  const Change update(ConvertEagerly<Old, ItemV2<2>>());
  UpdateRequest request = SetUpdateFunction(worker.ref(), update);
  request.Trigger();
  const absl::Status status = request.Await(kLong);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_FALSE(update.is_applied());
  for (const auto& item : items) EXPECT_EQ(item->Version(), 1);
  // It can be tried again.
  items[7]->fails_at = 0;
  Change again = update;
  Attempt attempt = again.Apply();
  while (attempt.is_not_yet()) attempt = again.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  EXPECT_EQ(items[7]->Version(), 2);
  Change second(ConvertEagerly<Old, ItemV2<2>>());
  EXPECT_TRUE(absl::IsFailedPrecondition(second.Prepare()));
}

TEST(ConvertTest, AConvertThatDoesNotReturnIsGivenUp) {
  std::vector<std::unique_ptr<Waiting<0>>> objects(10);
  for (auto& object : objects) object = std::make_unique<Waiting<0>>();
  Looping worker("worker", [] { ++g_rounds; });
  g_waits = true;
  g_conversions = 0;
  Change update(ConvertEagerly<Waiting<0>, WaitingV2<0>>());
  Attempt attempt = update.Apply();
  while (attempt.is_not_yet()) attempt = update.Apply();
  EXPECT_TRUE(absl::IsDataLoss(attempt.status())) << attempt.reason();
  EXPECT_THAT(attempt.reason(), HasSubstr("convert "));
  EXPECT_THAT(attempt.reason(), HasSubstr("state of the program is unknown"));
  EXPECT_EQ(g_conversions, 1);
  g_waits = false;
  // For good: nobody knows what there is to be applied or undone.
  EXPECT_TRUE(absl::IsDataLoss(update.Apply().status()));
  EXPECT_TRUE(absl::IsDataLoss(update.Undo().status()));
  EXPECT_TRUE(absl::IsDataLoss(update.Prepare()));
}

TEST(ConvertLazilyTest, ConvertsAtTheNextAccess) {
  using Old = Item<3>;
  std::vector<LazyUnique<Old>> items;
  for (int i = 0; i < 10; ++i) items.emplace_back(std::make_unique<Old>());
  Looping worker("worker");
  Change update(ConvertLazily<Old, ItemV2<3>>());
  UpdateRequest request = SetUpdateFunction(worker.ref(), update);
  request.Trigger();
  ASSERT_TRUE(request.Await(kLong).ok()) << request.reason();
  EXPECT_EQ(items[0].address()->Version(), 1);
  EXPECT_EQ(items[0]->Version(), 2);
  EXPECT_EQ(items[1].address()->Version(), 1);
  Attempt undo = update.Undo();
  while (undo.is_not_yet()) undo = update.Undo();
  ASSERT_TRUE(undo.is_done()) << undo.reason();
  EXPECT_EQ(items[0]->Version(), 1);
}

TEST(ConvertLazilyTest, ProgressivelyInTheBackground) {
  using Old = Item<4>;
  std::vector<LazyUnique<Old>> items;
  for (int i = 0; i < 1000; ++i) items.emplace_back(std::make_unique<Old>());
  Change update(ConvertProgressively<Old, ItemV2<4>>());
  Attempt attempt = update.Apply();
  while (attempt.is_not_yet()) attempt = update.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  while (update.objects().is_converting) std::this_thread::yield();
  for (const auto& item : items) EXPECT_EQ(item.address()->Version(), 2);
}

// A strategy of somebody's own, which is an eager one that counts.
class CountedStep final : public ConversionStep {
 public:
  CountedStep(std::unique_ptr<ConversionStep> eager, int& changes)
      : eager_(std::move(eager)), changes_(changes) {}
  std::string name() const override { return "one of our own"; }
  absl::StatusOr<ConversionForecast> Check() const override {
    return eager_->Check();
  }
  absl::Status Prepare() override { return eager_->Prepare(); }
  absl::Status Apply() override {
    ++changes_;
    return eager_->Apply();
  }
  absl::Status Undo() override {
    ++changes_;
    return eager_->Undo();
  }
  ObjectCounts Counts() const override { return eager_->Counts(); }

 private:
  const std::unique_ptr<ConversionStep> eager_;
  int& changes_;
};

TEST(ConvertTest, ByAStrategyOfOnesOwn) {
  auto store = std::make_unique<Store>("one");
  int changes = 0;
  UpdatePlan plan("own");
  plan.Add(ConvertBy<Store, StoreV2>(std::make_unique<CountedStep>(
      EagerConversion<Store, StoreV2>(), changes)));
  const auto update = MakeUpdate(std::move(plan));
  ApplyOptions options;
  options.timeout = kLong;
  {
    // It is looked at who is inside.
    Visiting visitor([&](const Call& call) { store->Open(call); });
    const auto blockers = update->Rehearse(options);
    ASSERT_TRUE(blockers.ok()) << blockers.status();
    ASSERT_FALSE(blockers->empty());
    EXPECT_THAT(blockers->front().reason, HasSubstr(kInOpen));
  }
  ASSERT_EQ(update->Apply(options), absl::OkStatus());
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(WeakObjectPool<Store>().Counts().by_version[1].second, 1u);
  ASSERT_EQ(update->Undo(options), absl::OkStatus());
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(WeakObjectPool<Store>().Counts().by_version[0].second, 1u);
}

TEST(ConvertLazilyTest, StartedFromWhereTheProgramIs) {
  using Old = Item<5>;
  LazyUnique<Old> item(std::make_unique<Old>());
  Looping other("other");
  const absl::Status started =
      Apply(ConvertLazily<Old, ItemV2<5>>(), {}, kLong);
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(item.address()->Version(), 1);
  EXPECT_EQ(item->Version(), 2);
}

TEST(ConvertLazilyTest, IsNotStartedWhileSomebodyIsInside) {
  auto store = std::make_unique<Store>("one");
  {
    Visiting visitor([&](const Call& call) { store->Open(call); });
    absl::Status started;
    do {  // under load, the visitor may not have come in time
      started = Apply(ConvertLazily<Store, StoreV2>(), {},
                      std::chrono::milliseconds(1));
      ASSERT_TRUE(absl::IsDeadlineExceeded(started)) << started;
    } while (!absl::StrContains(started.message(), kInOpen));
    EXPECT_THAT(std::string(started.message()), HasSubstr("'visitor'"));
  }
  // Nothing was begun.
  Change update(ConvertLazily<Store, StoreV2>());
  EXPECT_TRUE(update.Prepare().ok());
}

}  // namespace
}  // namespace instar
