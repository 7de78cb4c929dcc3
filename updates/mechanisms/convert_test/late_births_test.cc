// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Objects of the old version that are made after a conversion, and what other
// conversions wait for.

#include "updates/internal/late_births.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "base/testing/inside.h"
#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/lazy_proxy.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/convert_test/class_functions_for_test.h"
#include "updates/mechanisms/convert_test/items_for_test.h"
#include "updates/mechanisms/internal/background_work.h"
#include "updates/testing/within.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

// Code that does not return may be what the other one waits for.
TEST(BackgroundPauseTest, ItsTurnIsWaitedForUntilATime) {
  using updates_internal::BackgroundPause;
  std::string why_not;
  const auto soon = [] {
    return BackgroundPause::Clock::now() + std::chrono::milliseconds(20);
  };
  auto other = BackgroundPause::Try(soon(), &why_not);
  ASSERT_TRUE(other.has_value()) << why_not;
  std::thread([&] {
    EXPECT_FALSE(BackgroundPause::Until(soon(), &why_not).has_value());
  }).join();
  EXPECT_THAT(why_not, HasSubstr("another thread holds threads"));
  other.reset();
  EXPECT_TRUE(BackgroundPause::Until(soon(), &why_not).has_value());
}

TEST(LateBirthsTest, AConvertThatDoesNotReturnIsGivenUp) {
  Looping worker("worker", [] { ++g_rounds; });
  Change update(ConvertEagerly<Waiting<1>, WaitingV2<1>>());
  Attempt attempt = update.Apply();
  while (attempt.is_not_yet()) attempt = update.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  const auto late = std::make_unique<Waiting<1>>();
  const auto later = std::make_unique<Waiting<1>>();
  g_waits = true;
  g_conversions = 0;
  LateBirths late_births;
  while ((attempt = late_births.TryConvert()).is_not_yet()) {
  }
  EXPECT_TRUE(absl::IsDataLoss(attempt.status())) << attempt.reason();
  EXPECT_EQ(g_conversions, 1);
  g_waits = false;
}

// Code that was compiled for Item<6> goes on making Item<6>.
__attribute__((noinline)) std::unique_ptr<Item<6>> OldCode() {
  return std::make_unique<Item<6>>();
}

TEST(LateBirthsTest, OldCodeKeepsMakingObjects) {
  std::vector<std::unique_ptr<Item<6>>> made;
  std::atomic<std::size_t> wanted{0}, count{0};
  LateBirths late_births;
  EXPECT_TRUE(late_births.TryConvert().is_done());
  auto worker = std::make_unique<Looping>("worker", [&] {
    if (made.size() == wanted) return;
    made.push_back(OldCode());
    count = made.size();
  });
  const auto await_more = [&] {
    wanted += 5;
    while (count < wanted) std::this_thread::yield();
  };
  await_more();
  Change update(ConvertEagerly<Item<6>, ItemV2<6>>());
  Attempt attempt = update.Apply();
  while (attempt.is_not_yet()) attempt = update.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  for (int i = 0; i < 20; ++i) {
    await_more();
    EXPECT_TRUE(HaveLateBirths());
    attempt = late_births.TryConvert();
    while (attempt.is_not_yet()) attempt = late_births.TryConvert();
    ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  }
  worker.reset();
  attempt = late_births.TryConvert();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  EXPECT_FALSE(HaveLateBirths());
  for (const auto& item : made) EXPECT_EQ(item->Version(), 2);
}

TEST(LateBirthsTest, WaitsWhileSomebodyIsInside) {
  auto store = std::make_unique<Store>("one");
  // With the options of the class's latest update.
  ClassFunctionsOptions options;
  options.watch_also = {"instar::updates_test::FindStore"};
  Change update(ConvertEagerly<Store, StoreV2>({}, options));
  Attempt attempt = update.Apply();
  while (attempt.is_not_yet()) attempt = update.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  auto late = std::make_unique<Store>("late");
  std::atomic<bool> inside{false}, leave{false}, stop{false};
  ControlledThread finder = StartPassiveThread("finder", [&] {
    FindStore(1, [&] {
      inside = true;
      while (!leave) UpdatePoint();
    });
    while (!stop) UpdatePoint();
  });
  const auto end = absl::MakeCleanup([&] { leave = stop = true; });
  while (!inside) std::this_thread::yield();
  ASSERT_TRUE(HaveLateBirths());
  LateBirths late_births;
  attempt = late_births.TryConvert();
  while (attempt.reason().find("active: instar::updates_test::FindStore(") ==
         std::string::npos) {
    ASSERT_TRUE(attempt.is_not_yet()) << attempt.reason();
    attempt = late_births.TryConvert();
  }
  EXPECT_FALSE(IsStoreV2(late));
  leave = true;
  while (attempt.is_not_yet()) attempt = late_births.TryConvert();
  EXPECT_TRUE(attempt.is_done()) << attempt.reason();
  EXPECT_TRUE(IsStoreV2(late));
  EXPECT_FALSE(HaveLateBirths());
  while ((attempt = update.Undo()).is_not_yet()) {
  }
  EXPECT_TRUE(attempt.is_done()) << attempt.reason();
}

// A plan looks at all threads of the process; so does what comes after it.
TEST(LateBirthsTest, WaitsWhileAThreadThatIsNotControlledIsInside) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  ClassFunctionsOptions options;
  options.watch_also = {"instar::updates_test::FindStore"};
  UpdatePlan plan("stores");
  plan.ConvertEagerly<Store, StoreV2>({}, options);
  const auto update = MakeUpdate(std::move(plan));
  const absl::Status applied = update->Apply(kPatiently);
  ASSERT_TRUE(applied.ok()) << applied;
  auto late = std::make_unique<Store>("late");
  ASSERT_TRUE(HaveLateBirths());
  Inside finder([](const Inside::Stay& stay) { FindStore(1, stay); });
  LateBirths late_births;
  Attempt attempt = late_births.TryConvert();
  while (attempt.reason().find("active: instar::updates_test::FindStore(") ==
         std::string::npos) {
    ASSERT_TRUE(attempt.is_not_yet()) << attempt.reason();
    attempt = late_births.TryConvert();
  }
  EXPECT_FALSE(IsStoreV2(late));
  finder.Leave();
  while (attempt.is_not_yet()) attempt = late_births.TryConvert();
  EXPECT_TRUE(attempt.is_done()) << attempt.reason();
  EXPECT_TRUE(IsStoreV2(late));
  const absl::Status undone = update->Undo(kPatiently);
  EXPECT_TRUE(undone.ok()) << undone;
}

TEST(LateBirthsTest, AFailureIsAnswered) {
  std::vector<std::unique_ptr<Item<7>>> items;
  Change update(ConvertEagerly<Item<7>, ItemV2<7>>());
  ASSERT_TRUE(update.Apply().is_done());
  for (int i = 0; i < 3; ++i) items.push_back(std::make_unique<Item<7>>());
  items[1]->fails_at = 2;
  LateBirths late_births;
  const Attempt attempt = late_births.TryConvert();
  EXPECT_TRUE(absl::IsDataLoss(attempt.status())) << attempt.reason();
  EXPECT_EQ(items[0]->Version(), 2);
  EXPECT_EQ(items[1]->Version(), 1);
  EXPECT_EQ(items[2]->Version(), 2);
  EXPECT_TRUE(late_births.TryConvert().is_done());
}

// Proxies convert them.
TEST(LateBirthsTest, LazyClassesHaveNone) {
  Change update(ConvertLazily<Item<8>, ItemV2<8>>());
  ASSERT_TRUE(update.Apply().is_done());
  LazyUnique<Item<8>> item(std::make_unique<Item<8>>());
  EXPECT_FALSE(HaveLateBirths());
  EXPECT_EQ(item->Version(), 2);
}

}  // namespace
}  // namespace instar
