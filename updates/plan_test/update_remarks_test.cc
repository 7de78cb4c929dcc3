// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an update leaves as it was is said before it is applied and afterwards.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef __cpp_impl_coroutine
#include <coroutine>
#endif

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "code/portable/needs_entries_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "updates/update_plan.h"

namespace instar {
namespace remarks_test {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// Each test has classes of its own.
template <int kNumber>
struct Item : Updatable<Item<kNumber>> {
  virtual int Version() const { return 1; }
};
template <int kNumber>
struct ItemV2 : Item<kNumber> {
  explicit ItemV2(Item<kNumber>&& old) noexcept
      : Item<kNumber>(std::move(old)) {}
  int Version() const override { return 2; }
};

std::vector<std::string> RemarksOnApplying(Update& update) {
  std::vector<std::string> remarks;
  ApplyOptions options;
  options.remarks = &remarks;
  const absl::Status applied = update.Apply(options);
  EXPECT_TRUE(applied.ok()) << applied;
  return remarks;
}

TEST(UpdateRemarksTest, NoObjectIsUsedThroughAProxy) {
  const auto item = std::make_unique<Item<1>>();
  UpdatePlan plan("plain pointers");
  plan.ConvertLazily<Item<1>, ItemV2<1>>();
  const auto update = MakeUpdate(std::move(plan));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->remarks, Contains(HasSubstr("through a LazyProxy")));
  EXPECT_THAT(RemarksOnApplying(*update),
              Contains(HasSubstr("through a LazyProxy")));
  EXPECT_EQ(item->Version(), 1);
  EXPECT_TRUE(update->Undo({}).ok());
}

TEST(UpdateRemarksTest, NothingIsSaidWhereThereAreProxies) {
  const LazyUnique<Item<2>> item(std::make_unique<Item<2>>());
  EXPECT_EQ(item->Version(), 1);
  UpdatePlan plan("proxies");
  plan.ConvertLazily<Item<2>, ItemV2<2>>();
  const auto update = MakeUpdate(std::move(plan));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->remarks, Not(Contains(HasSubstr("LazyProxy"))));
  EXPECT_THAT(RemarksOnApplying(*update),
              Not(Contains(HasSubstr("LazyProxy"))));
  EXPECT_EQ(item->Version(), 2);
  EXPECT_TRUE(update->Undo({}).ok());
}

// A manager's, of the module.
TEST(UpdateRemarksTest, WhatWasSaidBeforeStays) {
  UpdatePlan plan("nothing");
  plan.ConvertLazily<Item<5>, ItemV2<5>>();
  const auto update = MakeUpdate(std::move(plan));
  std::vector<std::string> remarks = {"said before"};
  ApplyOptions options;
  options.remarks = &remarks;
  ASSERT_TRUE(update->Rehearse(options).ok());
  EXPECT_THAT(remarks, Contains("said before"));
  ASSERT_TRUE(update->Apply(options).ok());
  EXPECT_THAT(remarks, Contains("said before"));
}

std::atomic<bool> is_inside{false};
std::atomic<bool> stop{false};

__attribute__((noinline)) void Serve() {
  is_inside = true;
  while (!stop) std::this_thread::yield();
}
void NewServe() {}

// Nobody has registered it, so nobody waits for it.
TEST(UpdateRemarksTest, AThreadStaysInAFunctionThatIsRedefined) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  std::thread thread(&Serve);
  const absl::Cleanup end = [&thread] {
    stop = true;
    thread.join();
  };
  while (!is_inside) std::this_thread::yield();
  UpdatePlan plan("serve");
  plan.Redefine(&Serve, &NewServe);
  plan.OnlyRegisteredThreads();
  const auto update = MakeUpdate(std::move(plan));
  EXPECT_THAT(RemarksOnApplying(*update),
              Contains(AllOf(HasSubstr("is not registered"),
                             HasSubstr("remarks_test::Serve()"))));
}

// clang 14 has none that work with GCC 12's library.
#ifdef __cpp_impl_coroutine

struct Task {
  struct promise_type {
    Task get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
  std::coroutine_handle<promise_type> handle;
};

Task Sell(Item<3>& item) {
  co_await std::suspend_always();
  EXPECT_GE(item.Version(), 1);
}
Task NewSell(Item<3>&) { co_await std::suspend_always(); }

TEST(UpdateRemarksTest, ACoroutineIsRedefined) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  UpdatePlan plan("coroutine");
  plan.Redefine(&Sell, &NewSell);
  const auto update = MakeUpdate(std::move(plan));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->remarks,
              Contains(AllOf(HasSubstr("Sell("), HasSubstr("is a coroutine"))));
}

TEST(UpdateRemarksTest, ACoroutineUsesAClassThatIsConverted) {
  const auto item = std::make_unique<Item<3>>();
  const Task suspended = Sell(*item);
  UpdatePlan plan("class of a coroutine");
  plan.ConvertEagerly<Item<3>, ItemV2<3>>();
  const auto update = MakeUpdate(std::move(plan));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->remarks,
              Contains(AllOf(HasSubstr("Sell("), HasSubstr("is a coroutine"))));
  EXPECT_THAT(RemarksOnApplying(*update),
              Contains(HasSubstr("is a coroutine")));
  EXPECT_TRUE(update->Undo({}).ok());
  suspended.handle.resume();
}

// What is converted without a look at a coroutine is none's.
TEST(UpdateRemarksTest, NoCoroutineUsesAnotherClass) {
  UpdatePlan plan("another class");
  plan.ConvertEagerly<Item<4>, ItemV2<4>>();
  const auto update = MakeUpdate(std::move(plan));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->remarks, Not(Contains(HasSubstr("coroutine"))));
}

#endif  // __cpp_impl_coroutine

}  // namespace remarks_test
}  // namespace instar
