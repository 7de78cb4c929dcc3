// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Every move of the table in threads/thread_state.h is made by a real thread,
// and every other is fatal.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/attempt.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/held_reboot.h"
#include "threads/internal/thread_record.h"
#include "threads/rendezvous.h"
#include "threads/thread_state.h"
#include "threads/update_point.h"
#include "threads/update_request.h"

namespace instar {
namespace {

using threads_internal::ThreadRecord;
using State = ThreadState;
using Moves = std::set<std::pair<State, State>>;

// Longer than any test takes.
constexpr std::chrono::seconds kLimit(60);

Moves AllMoves() {
  Moves all;
  for (int from = 0; from < kThreadStates; ++from) {
    for (int to = 0; to < kThreadStates; ++to) {
      const State a = static_cast<State>(from), b = static_cast<State>(to);
      if (IsMove(a, b)) all.emplace(a, b);
    }
  }
  return all;
}

std::string Text(const Moves& moves) {
  std::string text;
  for (const auto& [from, to] : moves) {
    text += std::string(ToString(from)) + " to " + ToString(to) + "\n";
  }
  return text;
}

TEST(ThreadMovesDeathTest, EveryOtherIsFatal) {
  for (int from = 0; from < kThreadStates; ++from) {
    for (int to = 0; to < kThreadStates; ++to) {
      const State a = static_cast<State>(from), b = static_cast<State>(to);
      if (IsMove(a, b)) continue;
      ThreadRecord record("lost", ThreadKind::kPassive);
      record.state = a;
      EXPECT_DEATH(threads_internal::Move(record, b),
                   std::string("thread 'lost' cannot move from ") +
                       ToString(a) + " to " + ToString(b));
    }
  }
}

// What the threads called "moving" have done.
class ThreadMovesTest : public testing::Test {
 protected:
  ThreadMovesTest() {
    {
      std::lock_guard<std::mutex> hold(lock_);
      seen_.clear();
    }
    threads_internal::move_observer_for_test.store(&Observe,
                                                   std::memory_order_release);
  }
  ~ThreadMovesTest() override {
    threads_internal::move_observer_for_test.store(nullptr,
                                                   std::memory_order_release);
  }

  static void Observe(const ThreadRecord& record, State from, State to) {
    if (record.name != "moving") return;
    std::lock_guard<std::mutex> hold(lock_);
    seen_.emplace(from, to);
  }
  static Moves Seen() {
    std::lock_guard<std::mutex> hold(lock_);
    return seen_;
  }

  void BeginToEnd();
  void HeldBeforeItBegins();
  void Updated();
  void RebootedAtAnUpdatePoint();
  void HeldAtAnUpdatePoint();
  void Blocked();
  void HeldWhenItsCallReturns();
  void RebootedOutOfABlockingCall();
  void RebootedWhileHeld();
  void RebootedWithDelays();
  void WaitsForItsTurnInAnUpdateFunction();
  void HeldInAnUpdateFunction();

 private:
  static inline std::mutex lock_;
  static inline Moves seen_;
};

void AwaitState(const ThreadRef& thread, State state) {
  while (thread.state() != state) std::this_thread::yield();
}

// A condition that a thread waits for in a blocking region.
class Gate {
 public:
  void Pass() {
    std::unique_lock<std::mutex> hold(lock_);
    Wait(changed_, hold, [this] { return is_open_; });
  }
  void Open() {
    {
      std::lock_guard<std::mutex> hold(lock_);
      is_open_ = true;
    }
    changed_.notify_all();
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

// Comes to update points until it is told to stop, or is rebooted.
class Polling {
 public:
  explicit Polling(std::string name = "moving")
      : thread_(StartPassiveThread(std::move(name), [this] {
          while (!stop_) {
            UpdatePoint();
            std::this_thread::yield();
          }
        })) {
    AwaitState(thread_, State::kRunning);
  }
  ~Polling() { stop_ = true; }
  ThreadRef ref() const { return thread_.ref(); }
  void Join() {
    stop_ = true;
    thread_.Join();
  }

 private:
  std::atomic<bool> stop_{false};
  ControlledThread thread_;
};

RendezvousOptions Patiently() {
  RendezvousOptions options;
  options.limit = kLimit;
  options.grace = 2 * kLimit;  // nobody is interrupted: that is no move
  return options;
}

Rendezvous HoldOnly(const ThreadRef& thread) {
  absl::StatusOr<Rendezvous> held = Rendezvous::Hold({thread}, Patiently());
  EXPECT_TRUE(held.ok()) << held.status();
  return *std::move(held);
}

void Update(const ThreadRef& thread, UpdateFunction function) {
  UpdateRequest request = SetUpdateFunction(thread, std::move(function));
  request.Trigger();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
}

// new, running, ended
void ThreadMovesTest::BeginToEnd() {
  ControlledThread thread = StartPassiveThread("moving", [] {});
  thread.Join();
  EXPECT_EQ(thread.state(), State::kEnded);
}

// new, held, running
void ThreadMovesTest::HeldBeforeItBegins() {
  absl::StatusOr<Rendezvous> all = Rendezvous::HoldAll(Patiently());
  ASSERT_TRUE(all.ok()) << all.status();
  ControlledThread thread = StartPassiveThread("moving", [] {});
  AwaitState(thread, State::kHeld);
  all->Release();
  thread.Join();
}

// running, at update point, in update function, at update point, running
void ThreadMovesTest::Updated() {
  Polling thread;
  Update(thread.ref(), [](UpdateContext& context) {
    EXPECT_EQ(context.thread().state(), State::kInUpdateFunction);
    return Attempt::Done();
  });
}

// at update point, rebooting, running
void ThreadMovesTest::RebootedAtAnUpdatePoint() {
  Polling thread;
  std::optional<State> state;
  Update(thread.ref(), [&](UpdateContext& context) {
    return context.Reboot([&] { state = ThisControlledThread()->state(); });
  });
  thread.Join();
  EXPECT_EQ(state, State::kRunning);
}

// at update point, held, at update point
void ThreadMovesTest::HeldAtAnUpdatePoint() {
  Polling thread;
  const Rendezvous held = HoldOnly(thread.ref());
  EXPECT_EQ(thread.ref().state(), State::kHeld);
}

// running, blocked, running
void ThreadMovesTest::Blocked() {
  Gate gate;
  ControlledThread thread = StartPassiveThread("moving", [&] { gate.Pass(); });
  AwaitState(thread, State::kBlocked);
  gate.Open();
  thread.Join();
}

// blocked, held, running
void ThreadMovesTest::HeldWhenItsCallReturns() {
  Gate gate;
  ControlledThread thread = StartPassiveThread("moving", [&] { gate.Pass(); });
  AwaitState(thread, State::kBlocked);
  Rendezvous held = HoldOnly(thread);
  EXPECT_EQ(thread.state(), State::kBlocked);
  gate.Open();
  AwaitState(thread, State::kHeld);
  held.Release();
  thread.Join();
}

// blocked, rebooting
void ThreadMovesTest::RebootedOutOfABlockingCall() {
  Gate gate;
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartPassiveThread("moving", [&] { gate.Pass(); });
  AwaitState(thread, State::kBlocked);
  Rendezvous held = HoldOnly(thread);
  ASSERT_EQ(FindRebootObstacle(held.threads()[0]).kind,
            RebootObstacle::Kind::kNone);
  HeldReboot reboot =
      HeldReboot::Begin(held.threads()[0], [&] { rebooted = true; });
  held.Release();
  reboot.Released();
  thread.Join();
  EXPECT_TRUE(rebooted);
}

// blocked, held, running, at update point, rebooting
void ThreadMovesTest::RebootedWhileHeld() {
  Gate gate;
  std::atomic<bool> rebooted{false}, returned{false};
  ControlledThread thread = StartPassiveThread("moving", [&] {
    gate.Pass();
    returned = true;
  });
  AwaitState(thread, State::kBlocked);
  Rendezvous held = HoldOnly(thread);
  gate.Open();
  AwaitState(thread, State::kHeld);
  ASSERT_EQ(FindRebootObstacle(held.threads()[0]).kind,
            RebootObstacle::Kind::kNone);
  HeldReboot reboot =
      HeldReboot::Begin(held.threads()[0], [&] { rebooted = true; });
  held.Release();
  reboot.Released();
  thread.Join();
  EXPECT_TRUE(rebooted);
  EXPECT_FALSE(returned);
}

// rebooting, at update point, rebooting, blocked, held, rebooting
void ThreadMovesTest::RebootedWithDelays() {
  struct BlocksInDestructor {
    Gate& gate;
    // Inlined, its end in std::terminate would be seen behind the landing pad,
    // and the reboot would wait for another point for ever.
    __attribute__((noinline)) ~BlocksInDestructor() { gate.Pass(); }
  };
  Gate gate;
  std::atomic<bool> rebooted{false}, was_rebooting{false};
  ControlledThread thread = StartPassiveThread("moving", [&] {
    BlocksInDestructor blocks{gate};
    try {
      while (true) UpdatePoint();
    } catch (...) {  // delays it
      was_rebooting = ThisControlledThread()->state() == State::kRebooting;
    }
    while (true) UpdatePoint();
  });
  UpdateRequest request =
      SetUpdateFunction(thread, [&](UpdateContext& context) {
        return context.Reboot([&] { rebooted = true; });
      });
  request.Trigger();
  AwaitState(thread, State::kBlocked);
  Rendezvous held = HoldOnly(thread);
  gate.Open();
  AwaitState(thread, State::kHeld);
  EXPECT_FALSE(request.is_finished());
  held.Release();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
  thread.Join();
  EXPECT_TRUE(was_rebooting);
  EXPECT_TRUE(rebooted);
}

// in update function, blocked, in update function
void ThreadMovesTest::WaitsForItsTurnInAnUpdateFunction() {
  Polling thread;
  Polling other("other");
  Rendezvous held = HoldOnly(other.ref());
  UpdateRequest request =
      SetUpdateFunction(thread.ref(), [&](UpdateContext& context) {
        const absl::StatusOr<Rendezvous> mine =
            Rendezvous::Hold({other.ref()}, Patiently());
        EXPECT_TRUE(mine.ok()) << mine.status();
        EXPECT_EQ(context.thread().state(), State::kInUpdateFunction);
        return Attempt::Done();
      });
  request.Trigger();
  AwaitState(thread.ref(), State::kBlocked);
  held.Release();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
}

// in update function, blocked, held, in update function
void ThreadMovesTest::HeldInAnUpdateFunction() {
  Polling thread;
  Polling other("other");
  std::atomic<bool> is_inside{false};
  UpdateRequest request =
      SetUpdateFunction(thread.ref(), [&](UpdateContext& context) {
        is_inside = true;
        // Until somebody who has the turn wants to hold this thread.
        ThreadRecord& record = *context.thread().record();
        while (true) {
          std::lock_guard<std::mutex> hold(record.lock);
          if (record.hold) break;
        }
        RendezvousOptions options = Patiently();
        options.limit = std::chrono::milliseconds(1);  // the turn never comes
        EXPECT_EQ(Rendezvous::Hold({other.ref()}, options).status().code(),
                  absl::StatusCode::kDeadlineExceeded);
        return Attempt::Done();
      });
  request.Trigger();
  while (!is_inside) std::this_thread::yield();
  Rendezvous held = HoldOnly(thread.ref());
  AwaitState(thread.ref(), State::kHeld);
  held.Release();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
}

TEST_F(ThreadMovesTest, EveryMoveOfTheTableIsMade) {
  const Moves all = AllMoves();
  BeginToEnd();
  HeldBeforeItBegins();
  Updated();
  RebootedAtAnUpdatePoint();
  HeldAtAnUpdatePoint();
  Blocked();
  HeldWhenItsCallReturns();
  RebootedOutOfABlockingCall();
  RebootedWhileHeld();
  RebootedWithDelays();
  WaitsForItsTurnInAnUpdateFunction();
  HeldInAnUpdateFunction();
  EXPECT_EQ(Text(Seen()), Text(all));
}

}  // namespace
}  // namespace instar
