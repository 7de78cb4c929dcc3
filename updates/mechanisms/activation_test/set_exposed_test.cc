// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Local variables of running functions get another value, in a plan and in
// their threads.

#include "updates/mechanisms/set_exposed.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"
#include "updates/update.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Reports a local variable that it never changes after its beginning.
class Server {
 public:
  explicit Server(std::string greeting)
      : thread_(StartPassiveThread(
            "server", [this, greeting = std::move(greeting)]() mutable {
              const ExposedValue expose("greeting", greeting);
              while (!stop_) {
                // Release, partner: greeting().
                length_.store(static_cast<int>(greeting.size()));
                UpdatePoint();
                SleepFor(std::chrono::microseconds(50));
              }
            })) {}
  ~Server() { stop_ = true; }

  int length() const { return length_; }
  void AwaitLength(int length) const {
    while (length_ != length) std::this_thread::yield();
  }

 private:
  std::atomic<int> length_{0};
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

std::unique_ptr<Update> Greet(bool in_a_plan, std::string greeting) {
  auto set = SetExposed("server", "greeting", std::move(greeting));
  if (in_a_plan) {
    UpdatePlan plan("greet");
    plan.Add(std::move(set));
    return MakeUpdate(std::move(plan));
  }
  ThreadUpdates threads("greet");
  threads.Add("server", std::move(set));
  return MakeUpdate(std::move(threads));
}

class SetExposedTest : public testing::TestWithParam<bool> {};

TEST_P(SetExposedTest, EachThreadHasItAndGetsItsOwnBack) {
  const Server one("1"), two("22");
  one.AwaitLength(1);
  two.AwaitLength(2);
  const std::string longer(100, '!');
  const auto update = Greet(GetParam(), longer);
  for (int i = 0; i < 3; ++i) {
    const absl::Status applied = update->Apply(kPatiently);
    ASSERT_TRUE(applied.ok()) << applied;
    one.AwaitLength(100);
    two.AwaitLength(100);
    const absl::Status undone = update->Undo(kPatiently);
    ASSERT_TRUE(undone.ok()) << undone;
    one.AwaitLength(1);
    two.AwaitLength(2);
  }
}

TEST_P(SetExposedTest, OneThatHasBegunSinceKeepsItsOwn) {
  const auto update = Greet(GetParam(), "333");
  {
    const Server one("1");
    one.AwaitLength(1);
    ASSERT_TRUE(update->Apply(kPatiently).ok());
    one.AwaitLength(3);
  }
  const Server two("22");
  two.AwaitLength(2);
  ASSERT_TRUE(update->Undo(kPatiently).ok());
  EXPECT_EQ(two.length(), 2);
}

TEST_P(SetExposedTest, AnotherTypeIsRefused) {
  const Server one("1");
  one.AwaitLength(1);
  UpdatePlan plan("greet");
  ThreadUpdates threads("greet");
  const auto set = SetExposed("server", "greeting", 7);
  plan.Add(set);
  threads.Add("server", set);
  const auto update =
      GetParam() ? MakeUpdate(std::move(plan)) : MakeUpdate(std::move(threads));
  EXPECT_TRUE(absl::IsInvalidArgument(update->Apply(kPatiently)));
}

INSTANTIATE_TEST_SUITE_P(, SetExposedTest, testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "InAPlan" : "InTheThread";
                         });

TEST(SetExposedInAPlanTest, NotYetWhileItIsNotExposed) {
  const Server one("1");
  one.AwaitLength(1);
  UpdatePlan plan("greet");
  plan.Add(SetExposed("server", "greetings", std::string()));
  const auto update = MakeUpdate(std::move(plan));
  const absl::Status applied = update->Apply(kBriefly);
  EXPECT_TRUE(absl::IsDeadlineExceeded(applied)) << applied;
  EXPECT_THAT(std::string(applied.message()), HasSubstr("'greeting'"));
  const auto blockers = update->Rehearse({});
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  ASSERT_EQ(blockers->size(), 1);
  EXPECT_EQ((*blockers)[0].thread, "server");
}

TEST(SetExposedInAPlanTest, NotYetWithoutAThread) {
  { const Server gone("1"); }
  UpdatePlan plan("greet");
  plan.Add(SetExposed("server", "greeting", std::string()));
  const auto update = MakeUpdate(std::move(plan));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->steps,
              ElementsAre("set 'greeting' of thread 'server'"));
  EXPECT_THAT(forecast->obstacles,
              ElementsAre("there is no controlled thread 'server'"));
  EXPECT_THAT(forecast->lost_by_undo,
              ElementsAre("set 'greeting' of thread 'server': what the program "
                          "has written to it since"));
  EXPECT_TRUE(absl::IsDeadlineExceeded(update->Apply(kBriefly)));
  UpdatePlan unknown("unknown");
  unknown.Add(SetExposed("sever", "greeting", std::string()));
  EXPECT_TRUE(
      absl::IsNotFound(MakeUpdate(std::move(unknown))->Prepare().status()));
}

TEST(SetExposedInAPlanTest, PutBackIfALaterStepFails) {
  const Server one("1");
  one.AwaitLength(1);
  UpdatePlan plan("greet");
  plan.Add(SetExposed("server", "greeting", std::string("333")));
  plan.After([] { return absl::InternalError("last"); });
  const auto update = MakeUpdate(std::move(plan));
  EXPECT_TRUE(absl::IsInternal(update->Apply(kPatiently)));
  one.AwaitLength(1);
}

// The undo of the hook before it fails, when the variable has its old value
// again.
TEST(SetExposedInAPlanTest, SetAgainIfTheUndoFails) {
  const Server one("1");
  one.AwaitLength(1);
  UpdatePlan plan("greet");
  plan.Before([] { return absl::OkStatus(); },
              [] { return absl::InternalError("first"); });
  plan.Add(SetExposed("server", "greeting", std::string("333")));
  const auto update = MakeUpdate(std::move(plan));
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  one.AwaitLength(3);
  EXPECT_TRUE(absl::IsInternal(update->Undo(kPatiently)));
  one.AwaitLength(3);
}

}  // namespace
}  // namespace instar
