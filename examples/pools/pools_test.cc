// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The updates of docs/pools.md, which quotes what stands between marks.

#include "examples/pools/pools.h"

#include <atomic>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "threads/asio_executor.h"
#include "threads/controlled_thread.h"
#include "threads/thread_state.h"
#include "updates/testing/update_fixture.h"
#include "updates/update_plan.h"

namespace pools {
namespace {

constexpr int kThreads = 4;

class PoolsTest : public instar::UpdateFixture {
 protected:
  PoolsTest() {
    OpenAsio();
    OpenTasks();
    for (int i = 0; i < kThreads; ++i) {
      StartMain("asio", &RunHandlers);
      StartMain("worker", &Work);
    }
    // All wait for something to do.
    for (const char* name : {"asio", "worker"}) AwaitBlocked(name, kThreads);
  }
  void TearDown() override {
    CloseAsio();
    CloseTasks();
    UpdateFixture::TearDown();
  }

  static void AwaitBlocked(const char* name, int count) {
    const auto is_blocked = [&] {
      int blocked = 0;
      for (const instar::ThreadRef& thread : instar::ControlledThreads(name)) {
        if (thread.state() == instar::ThreadState::kBlocked) ++blocked;
      }
      return blocked == count;
    };
    while (!is_blocked()) std::this_thread::yield();
  }

  // One request to each of the pools, many times.
  static std::vector<std::string> Ask(int times) {
    std::vector<std::future<std::string>> answers;
    for (int i = 0; i < times; ++i) {
      answers.push_back(AskAsio("a"));
      answers.push_back(AskWorker("w"));
    }
    std::vector<std::string> all;
    for (auto& answer : answers) all.push_back(answer.get());
    return all;
  }
  static std::vector<std::string> Expected(const std::string& version,
                                           int times) {
    std::vector<std::string> all;
    for (int i = 0; i < times; ++i) {
      all.push_back(version + " a");
      all.push_back(version + " w");
    }
    return all;
  }
};

// [redefine]
std::string NewAnswer(const std::string& request) { return "new " + request; }

absl::Status ChangeAnswers(instar::UpdatePlan& plan) {
  plan.Redefine(&Answer, &NewAnswer);
  plan.AtUpdatePoint("between requests", "asio");  // of these threads
  return absl::OkStatus();
}
// [redefine]

TEST_F(PoolsTest, IdleThreadsDoNotKeepAnUpdateWaiting) {
  EXPECT_EQ(Ask(100), Expected("old", 100));
  Make("answers", &ChangeAnswers);
  Apply();
  EXPECT_EQ(Ask(100), Expected("new", 100));
  Undo();
  EXPECT_EQ(Ask(100), Expected("old", 100));
}

TEST_F(PoolsTest, UpdatesComeWhileHandlersRun) {
  Make("answers", &ChangeAnswers);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread client([&] {
    while (!done) {
      for (const std::string& answer : Ask(50)) {
        const std::string version = answer.substr(0, 4);
        if (version != "old " && version != "new ") ++wrong;
      }
    }
  });
  for (int i = 0; i < 5; ++i) {
    Apply();
    Undo();
  }
  done = true;
  client.join();
  EXPECT_EQ(wrong, 0);
}

// [reboot]
std::atomic<int> rebooted{0};

void RunCounted() {
  ++rebooted;
  instar::RunAsio(io, "between requests");
}

void WorkCounted() {
  ++rebooted;
  Work();
}

absl::Status CountThreads(instar::UpdatePlan& plan) {
  plan.Reboot("asio", &RunCounted, /*main_when_undone=*/&RunHandlers);
  plan.Reboot("worker", &WorkCounted, /*main_when_undone=*/&Work);
  return absl::OkStatus();
}
// [reboot]

TEST_F(PoolsTest, ARebootReachesIdleThreads) {
  Make("count", &CountThreads);
  rebooted = 0;
  Apply();
  // No request has come: they have been got out of their waits.
  while (rebooted < 2 * kThreads) std::this_thread::yield();
  EXPECT_EQ(Ask(100), Expected("old", 100));
  Undo();
  EXPECT_EQ(Ask(100), Expected("old", 100));
  EXPECT_EQ(rebooted, 2 * kThreads);
}

TEST_F(PoolsTest, AWaitForAFutureDoesNotKeepAnUpdateWaiting) {
  std::promise<std::string> promise;
  std::string got;
  std::thread clerk([&] {
    instar::RunControlled("clerk", instar::ThreadKind::kPassive,
                          [&] { got = Await(promise.get_future()); });
  });
  AwaitBlocked("clerk", 1);
  Make("answers", &ChangeAnswers);
  Apply();
  promise.set_value(AskAsio("a").get());
  clerk.join();
  EXPECT_EQ(got, "new a");
  Undo();
}

}  // namespace
}  // namespace pools
