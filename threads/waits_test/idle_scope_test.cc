// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/idle_scope.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"
#include "threads/update_request.h"

namespace instar {
namespace {

using testing::HasSubstr;

constexpr std::chrono::seconds kLimit(60);

// A library that waits for work and calls it.
class Reactor {
 public:
  void Post(std::function<void()> work) {
    std::lock_guard<std::mutex> lock(lock_);
    queue_.push_back(std::move(work));
    changed_.notify_one();
  }
  void RunOne() {
    std::unique_lock<std::mutex> lock(lock_);
    changed_.wait(lock, [&] { return !queue_.empty(); });
    const std::function<void()> work = std::move(queue_.front());
    queue_.erase(queue_.begin());
    lock.unlock();
    work();
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> queue_;
};

// A thread that is idle in the reactor, but for what is posted to it.
class Worker {
 public:
  explicit Worker(bool can_be_woken = false)
      : thread_(StartPassiveThread("worker", [this, can_be_woken] {
          const std::function<void()> wake =
              can_be_woken ? [this] { reactor_.Post([] {}); }
                           : std::function<void()>();
          while (!stop_) {
            {
              IdleScope idle("between requests", wake);
              reactor_.RunOne();
            }
            UpdatePoint();
          }
        })) {}
  ~Worker() { Stop(); }
  void Stop() {
    stop_ = true;
    reactor_.Post([] {});
    thread_.Join();
  }
  void Post(std::function<void()> work) { reactor_.Post(std::move(work)); }
  const ControlledThread& thread() const { return thread_; }

 private:
  Reactor reactor_;
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

void Await(const std::atomic<bool>& flag) {
  while (!flag) std::this_thread::yield();
}
void AwaitIdle(const Worker& worker) {
  while (worker.thread().state() != ThreadState::kBlocked) {
    std::this_thread::yield();
  }
}

RendezvousOptions Patiently(std::string point = "") {
  RendezvousOptions options;
  options.limit = kLimit;
  options.grace = 2 * kLimit;  // no thread is interrupted
  options.point = std::move(point);
  return options;
}

TEST(IdleScopeTest, AnIdleThreadCountsAsStopped) {
  Worker worker;
  AwaitIdle(worker);
  for (const char* point : {"", "between requests"}) {
    auto rendezvous = Rendezvous::HoldAll(Patiently(point));
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    ASSERT_EQ(rendezvous->threads().size(), 1u);
    EXPECT_FALSE(rendezvous->threads()[0].is_interrupted);
    EXPECT_FALSE(rendezvous->threads()[0].stacks.empty());
  }
}

TEST(IdleScopeTest, AtAPointOfAnotherNameItIsMissing) {
  Worker worker;
  AwaitIdle(worker);
  RendezvousOptions options = Patiently("between frames");
  options.limit = std::chrono::milliseconds(20);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Rendezvous::HoldAll(options).status()));
}

TEST(IdleScopeTest, AHandlerThatIsDueWaitsUntilTheRelease) {
  Worker worker;
  AwaitIdle(worker);
  auto rendezvous = Rendezvous::HoldAll(Patiently());
  ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
  std::atomic<bool> entered{false}, handled{false};
  worker.Post([&] {
    entered = true;
    const BusyScope busy;
    handled = true;
  });
  Await(entered);
  while (worker.thread().state() != ThreadState::kHeld) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(handled);
  rendezvous->Release();
  Await(handled);
}

TEST(IdleScopeTest, ABusyThreadIsWaitedFor) {
  Worker worker;
  std::atomic<bool> busy{false}, leave{false};
  worker.Post([&] {
    const BusyScope scope;
    busy = true;
    Await(leave);
  });
  Await(busy);
  EXPECT_EQ(worker.thread().state(), ThreadState::kRunning);
  RendezvousOptions options = Patiently();
  options.limit = std::chrono::milliseconds(20);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Rendezvous::HoldAll(options).status()));
  leave = true;
  auto rendezvous = Rendezvous::HoldAll(Patiently());
  EXPECT_TRUE(rendezvous.ok()) << rendezvous.status();
}

TEST(IdleScopeTest, Nest) {
  Worker worker;
  std::atomic<bool> done{false};
  const auto state = [] { return ThisControlledThread()->state(); };
  worker.Post([&] {
    EXPECT_EQ(state(), ThreadState::kBlocked);
    {
      const BusyScope busy;
      EXPECT_EQ(state(), ThreadState::kRunning);
      {
        IdleScope inner;
        EXPECT_EQ(state(), ThreadState::kBlocked);
        IdleScope within;  // does nothing
        const BusyScope innermost;
        EXPECT_EQ(state(), ThreadState::kRunning);
      }
      const BusyScope again;  // does nothing
      EXPECT_EQ(state(), ThreadState::kRunning);
    }
    EXPECT_EQ(state(), ThreadState::kBlocked);
    try {
      const BusyScope busy;
      throw std::runtime_error("out of a handler");
    } catch (const std::runtime_error&) {
      EXPECT_EQ(state(), ThreadState::kBlocked);
    }
    done = true;
  });
  Await(done);
}

TEST(IdleScopeTest, NothingHappensInOtherThreads) {
  IdleScope idle("between requests");
  const BusyScope busy;
  EXPECT_FALSE(ThisControlledThread().has_value());
}

UpdateRequest StartReboot(const Worker& worker, std::atomic<bool>& rebooted) {
  UpdateOptions options;
  options.interrupt_blocking_calls = true;
  UpdateRequest request = SetUpdateFunction(
      worker.thread().ref(),
      [&](UpdateContext& context) {
        return context.Reboot([&] { rebooted = true; });
      },
      options);
  request.Trigger();
  return request;
}

TEST(IdleScopeTest, ARebootWakesTheLibrary) {
  std::atomic<bool> rebooted{false};
  Worker worker(/*can_be_woken=*/true);
  AwaitIdle(worker);
  UpdateRequest request = StartReboot(worker, rebooted);
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  Await(rebooted);
}

// What waits by its own means: here a future, which a wake makes ready.
TEST(IdleScopeTest, ARebootOutOfAFuture) {
  std::promise<void> woken;
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartPassiveThread("worker", [&] {
    std::once_flag once;
    {
      IdleScope idle("",
                     [&] { std::call_once(once, [&] { woken.set_value(); }); });
      woken.get_future().wait();
    }
    while (true) UpdatePoint();
  });
  while (thread.state() != ThreadState::kBlocked) std::this_thread::yield();
  UpdateOptions options;
  options.interrupt_blocking_calls = true;
  UpdateRequest request = SetUpdateFunction(
      thread.ref(),
      [&](UpdateContext& context) {
        return context.Reboot([&] { rebooted = true; });
      },
      options);
  request.Trigger();
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  Await(rebooted);
}

TEST(IdleScopeTest, ARebootSaysThatNothingWakesTheLibrary) {
  std::atomic<bool> rebooted{false};
  Worker worker;
  AwaitIdle(worker);
  UpdateRequest request = StartReboot(worker, rebooted);
  while (request.reason().empty()) std::this_thread::yield();
  EXPECT_THAT(request.reason(), HasSubstr("IdleScope has no `wake`"));
  EXPECT_FALSE(rebooted);
  worker.Post([] {});
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  Await(rebooted);
}

// Handlers and rendezvous at once: none runs while the thread is held.
TEST(IdleScopeTest, NoHandlerRunsWhileThreadsAreHeld) {
  constexpr int kWorkers = 4, kRounds = 2000;
  std::atomic<int> handled{0};
  std::atomic<bool> held{false}, stop{false};
  std::atomic<long> wrong{0};
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < kWorkers; ++i) {
    workers.push_back(std::make_unique<Worker>());
  }
  std::thread poster([&] {
    for (int i = 0; !stop; ++i) {
      workers[i % kWorkers]->Post([&] {
        const BusyScope busy;
        wrong += held;
        ++handled;
        wrong += held;
      });
      while (!stop && handled < i - 100) std::this_thread::yield();
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    auto rendezvous = Rendezvous::HoldAll(Patiently());
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    held = true;
    for (int spins = 0; spins < 100; ++spins) wrong += handled < 0;
    held = false;
  }
  while (handled < 1000) std::this_thread::yield();
  stop = true;
  poster.join();
  workers.clear();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace instar
