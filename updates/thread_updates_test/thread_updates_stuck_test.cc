// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A class update in a schedule over single threads that does not return: the
// program goes on, others see what runs, and the update is answered.

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/convert.h"
#include "updates/thread_updates.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;

template <int kTest>
struct Item : Updatable<Item<kTest>> {
  virtual int Version() const { return 1; }
};
template <int kTest>
struct ItemV2 : Item<kTest> {
  explicit ItemV2(Item<kTest>&& old) noexcept : Item<kTest>(std::move(old)) {}
  int Version() const override { return 2; }
  void Convert() {
    is_inside = true;
    while (!leave) std::this_thread::yield();
  }
  static inline std::atomic<bool> is_inside{false}, leave{false};
};

// Apply() on a thread of its own, cancelled when the conversion has begun.
template <int kTest>
class Applying {
 public:
  explicit Applying(ThreadUpdates threads)
      : update_(MakeUpdate(std::move(threads))), thread_([this] {
          ApplyOptions options;
          options.timeout = std::chrono::hours(1);
          status_ = update_->Apply(options);
        }) {
    while (!ItemV2<kTest>::is_inside) std::this_thread::yield();
    update_->Cancel();
  }
  absl::Status Await() {
    thread_.join();
    return status_;
  }
  // What is in effect is not known, and never will be.
  void ExpectBroken() {
    EXPECT_EQ(update_->Progress().phase, UpdatePhase::kBroken);
    EXPECT_TRUE(absl::IsFailedPrecondition(update_->Prepare().status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(update_->Apply({})));
    EXPECT_TRUE(absl::IsFailedPrecondition(update_->Undo({})));
  }
  UpdateProgress Progress() const { return update_->Progress(); }

 private:
  const std::unique_ptr<Update> update_;
  absl::Status status_;
  std::thread thread_;
};

TEST(ThreadUpdatesStuckTest, OneThatIsStarted) {
  const auto first = std::make_unique<Item<0>>();
  const auto second = std::make_unique<Item<0>>();
  Looping worker("worker");
  worker.AwaitRounds();
  ThreadUpdates threads("stuck");
  threads.Start(ConvertEagerly<Item<0>, ItemV2<0>>());
  Applying<0> applying(std::move(threads));
  UpdateProgress progress;
  do {
    progress = applying.Progress();
  } while (progress.phase != UpdatePhase::kBroken);
  EXPECT_FALSE(progress.is_unchanged);
  ASSERT_EQ(progress.blockers.size(), 1u);
  EXPECT_THAT(progress.blockers[0].reason,
              AllOf(HasSubstr("still runs, in thread "),
                    HasSubstr("the state of the program is unknown")));
  worker.AwaitRounds();
  ItemV2<0>::leave = true;
  const absl::Status status = applying.Await();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("convert instar::(anonymous namespace)::Item<0>"));
  EXPECT_EQ(second->Version(), 1);  // none began after it
  applying.ExpectBroken();
}

TEST(ThreadUpdatesStuckTest, OneInAThread) {
  const auto item = std::make_unique<Item<1>>();
  Looping worker("worker"), other("other");
  worker.AwaitRounds();
  other.AwaitRounds();
  ThreadUpdates threads("stuck");
  threads.Add("worker", ConvertEagerly<Item<1>, ItemV2<1>>());
  Applying<1> applying(std::move(threads));
  other.AwaitRounds();
  const absl::Status status = applying.Await();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("thread 'worker': "),
                    HasSubstr("was being called and has not returned")));
  ItemV2<1>::leave = true;
  worker.AwaitRounds();
  applying.ExpectBroken();
}

struct SlowToSay final : Mechanism {
  std::string name() const override { return "slow to say"; }
  Attempt Apply(const StoppedWorld&) override { return Attempt::Done(); }
  Attempt Undo(const StoppedWorld&) override { return Attempt::Done(); }
  absl::Status CanUndo() const override {
    while (waits) std::this_thread::yield();
    return absl::OkStatus();
  }
  std::atomic<bool> waits{false};
};

TEST(ThreadUpdatesStuckTest, WhatSaysWhetherItCanBeUndone) {
  const auto slow = std::make_shared<SlowToSay>();
  ThreadUpdates threads("slow");
  threads.Start(slow);
  const auto update = MakeUpdate(std::move(threads));
  ASSERT_EQ(update->Apply({}), absl::OkStatus());
  slow->waits = true;
  absl::Status status;
  std::thread undoing([&] {
    ApplyOptions options;
    options.timeout = std::chrono::milliseconds(1);
    status = update->Undo(options);
  });
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  UpdateProgress progress;
  do {
    progress = update->Progress();
  } while (progress.phase != UpdatePhase::kBroken &&
           std::chrono::steady_clock::now() < until);
  EXPECT_EQ(progress.phase, UpdatePhase::kBroken);
  EXPECT_TRUE(progress.is_unchanged);
  slow->waits = false;
  undoing.join();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("nothing was changed"));
  // It has returned, and is as it was.
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
  EXPECT_EQ(update->Undo({}), absl::OkStatus());
}

}  // namespace
}  // namespace instar
