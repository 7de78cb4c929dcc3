// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/loop_update_point.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/activity.h"
#include "stack/function_set.h"
#include "threads/controlled_thread.h"
#include "threads/held_reboot.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"
#include "threads/update_point_test/loops_for_test.h"
#include "threads/update_request.h"

namespace instar {
namespace {

using testing::HasSubstr;
using Kind = RebootObstacle::Kind;

constexpr std::chrono::seconds kLimit(60);
constexpr std::chrono::milliseconds kBriefly(100);

RendezvousOptions Needing(PointAllows needs,
                          std::chrono::nanoseconds limit = kLimit) {
  RendezvousOptions options;
  options.limit = limit;
  options.needs = [needs](const ThreadRef&) { return needs; };
  return options;
}

// A thread in a loop, until the end.
class InLoop {
 public:
  using Loop = std::function<void(const std::atomic<bool>& stop)>;

  explicit InLoop(Loop loop, ThreadKind kind = ThreadKind::kActive)
      : thread_(StartThread("loop", kind, [this, loop = std::move(loop)] {
          is_inside_ = true;
          loop(stop_);
          while (!stop_) UpdatePoint();
        })) {
    while (!is_inside_) std::this_thread::yield();
  }
  ~InLoop() { stop_ = true; }

  void Stop() { stop_ = true; }
  ThreadRef ref() const { return thread_.ref(); }
  // Begins a reboot. What has been held is released.
  absl::Status RebootFrom(Rendezvous held) {
    HeldReboot reboot = HeldReboot::Prepare(ref());
    const RebootObstacle obstacle = FindRebootObstacle(held.threads()[0]);
    if (obstacle.kind != Kind::kNone) {
      held.Release();
      return absl::UnavailableError(obstacle.ToString());
    }
    reboot.Begin([this] {
      is_rebooted_ = true;
      while (!stop_) UpdatePoint();
    });
    held.Release();
    reboot.Released();
    while (!is_rebooted_) std::this_thread::yield();
    return absl::OkStatus();
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<bool> is_inside_{false};
  std::atomic<bool> is_rebooted_{false};
  ControlledThread thread_;
};

// Where the function is active, which it soon is.
template <typename F>
absl::StatusOr<Rendezvous> HoldIn(F* function,
                                  const RendezvousOptions& options) {
  const absl::StatusOr<Function> wanted = Function::Of(function);
  if (!wanted.ok()) return wanted.status();
  absl::StatusOr<WatchedFunctions> watched = WatchedFunctions::Make({*wanted});
  if (!watched.ok()) return watched.status();
  while (true) {
    absl::StatusOr<Rendezvous> held = Rendezvous::HoldAll(options);
    if (!held.ok() || held->threads().empty()) return held;
    const auto& stacks = held->threads()[0].stacks;
    if (!stacks.empty() &&
        !FindActivity(stacks[0], watched->set()).quiescent()) {
      return held;
    }
  }
}

TEST(LoopUpdatePointTest, LateAllowsNoMoreThanHolding) {
  PrepareToFindRebootObstacles();
  InLoop thread(&late_loops::SumUntil);
  for (int i = 0; i < 3; ++i) {
    auto held = HoldIn(&late_loops::SumUntil, Needing(PointAllows::kHold));
    ASSERT_TRUE(held.ok()) << held.status();
    EXPECT_THAT(std::string(thread.RebootFrom(*std::move(held)).message()),
                HasSubstr("no exception can leave"));
  }
  RendezvousOptions as_always;
  as_always.limit = kBriefly;
  const absl::Status memory = Rendezvous::HoldAll(as_always).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(memory)) << memory;
  EXPECT_THAT(std::string(memory.message()), HasSubstr("'loop'"));
}

TEST(LoopUpdatePointTest, EndlessLoopAllowsAllThoughOthersAreLate) {
  PrepareToFindRebootObstacles();
  late_loops::unwound = 0;
  InLoop thread([](auto&) { late_loops::SumForEver(); });
  auto held = HoldIn(&late_loops::SumForEver, Needing(PointAllows::kReboot));
  ASSERT_TRUE(held.ok()) << held.status();
  const absl::Status rebooted = thread.RebootFrom(*std::move(held));
  EXPECT_TRUE(rebooted.ok()) << rebooted;
  EXPECT_EQ(late_loops::unwound, 2);  // a caller's, too
}

TEST(LoopUpdatePointTest, EarlyAllowsAll) {
  PrepareToFindRebootObstacles();
  early_loops::unwound = 0;
  InLoop thread(&early_loops::SumUntil);
  auto held = HoldIn(&early_loops::SumUntil, Needing(PointAllows::kReboot));
  ASSERT_TRUE(held.ok()) << held.status();
  const absl::Status rebooted = thread.RebootFrom(*std::move(held));
  EXPECT_TRUE(rebooted.ok()) << rebooted;
  EXPECT_EQ(early_loops::unwound, 1);
}

TEST(LoopUpdatePointTest, MemoryIsAsTheSourceSaysAtAnEarlyPoint) {
  early_loops::Twins twins{0, 0};
  const InLoop thread([&twins](const std::atomic<bool>& stop) {
    early_loops::CountUntil(stop, twins);
  });
  RendezvousOptions as_always;
  as_always.limit = kLimit;
  unsigned long before = 0;
  while (before < 1000) {  // it counts on
    const auto held = HoldIn(&early_loops::CountUntil, as_always);
    ASSERT_TRUE(held.ok()) << held.status();
    EXPECT_EQ(twins.first, twins.second);
    EXPECT_GE(twins.first, before);
    before = twins.first;
  }
}

TEST(LoopUpdatePointTest, EarlyInATemplateThrowsNothing) {
  PrepareToFindRebootObstacles();
  InLoop thread(&early_loops::SumInTemplate);
  auto held =
      HoldIn(&early_loops::SumInTemplate, Needing(PointAllows::kMemory));
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_THAT(std::string(thread.RebootFrom(*std::move(held)).message()),
              HasSubstr("no exception can leave"));
  const absl::Status reboot =
      Rendezvous::HoldAll(Needing(PointAllows::kReboot, kBriefly)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(reboot)) << reboot;
}

TEST(LoopUpdatePointTest, DoesNothingInAPassiveThread) {
  const InLoop thread(&early_loops::SumUntil, ThreadKind::kPassive);
  const absl::Status held =
      Rendezvous::HoldAll(Needing(PointAllows::kHold, kBriefly)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(held)) << held;
}

TEST(LoopUpdatePointTest, DoesNothingInANoUpdateScope) {
  const InLoop thread([](const std::atomic<bool>& stop) {
    const NoUpdateScope no_update;
    early_loops::SumUntil(stop);
  });
  const absl::Status held =
      Rendezvous::HoldAll(Needing(PointAllows::kHold, kBriefly)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(held)) << held;
}

TEST(LoopUpdatePointTest, UpdateFunctionsRunAtEarlyPoints) {
  early_loops::unwound = 0;
  std::atomic<bool> rebooted{false};
  InLoop thread(&early_loops::SumUntil);
  UpdateRequest request =
      SetUpdateFunction(thread.ref(), [&](UpdateContext& context) {
        return context.Reboot([&] { rebooted = true; });
      });
  request.Trigger();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
  while (!rebooted) std::this_thread::yield();
  EXPECT_EQ(early_loops::unwound, 1);
}

TEST(LoopUpdatePointTest, InATemplateTheyCannotReboot) {
  InLoop thread(&early_loops::SumInTemplate);
  UpdateRequest request = SetUpdateFunction(
      thread.ref(),
      [&](UpdateContext& context) { return context.Reboot([] {}); });
  request.Trigger();
  while (request.attempts() == 0) std::this_thread::yield();
  EXPECT_THAT(request.reason(), HasSubstr("no exception can leave"));
  EXPECT_TRUE(request.Cancel());
}

TEST(LoopUpdatePointTest, UpdateFunctionsWaitForTheEndOfALateLoop) {
  std::atomic<bool> is_over{false};
  InLoop thread(
      [&](const std::atomic<bool>&) { late_loops::SumUntil(is_over); });
  UpdateRequest request = SetUpdateFunction(
      thread.ref(), [](UpdateContext&) { return Attempt::Done(); });
  request.Trigger();
  EXPECT_TRUE(absl::IsDeadlineExceeded(request.Await(kBriefly)));
  EXPECT_EQ(request.attempts(), 0);
  is_over = true;
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
}

}  // namespace
}  // namespace instar
