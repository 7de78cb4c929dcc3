// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program does to the signal by which threads are interrupted, and to
// threads, so that it must not be sent, or not as before.

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/child_process.h"
#include "gtest/gtest.h"
#include "stack/interrupted_thread.h"
#include "stack/interrupted_threads.h"

namespace instar {
namespace {

using Deaf = InterruptedThreads::Deaf;
using State = InterruptedThreads::State;

constexpr std::chrono::seconds kLong(30);

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// A thread that has begun `body`, and is left alone: children end by _exit().
pid_t Start(std::function<void()> body) {
  std::atomic<pid_t> tid{0};
  std::thread([&tid, body = std::move(body)] {
    tid = ThreadId();
    body();
  }).detach();
  while (tid == 0) std::this_thread::yield();
  return tid;
}

void Spin() {
  while (true) std::this_thread::yield();
}

// What becomes of it.
State StateOfHeld(pid_t tid, Deaf deaf = Deaf::kTrace) {
  InterruptedThreads held;
  held.Add(tid);
  if (!held.Hold(kLong, deaf)) return State::kAdded;
  return held.begin()->state;
}

// Where a busy machine has not run it since it was held before, it still blocks
// all signals, and is tried again.
bool IsHeldAmongThreads(pid_t tid) {
  State state = State::kNotTaken;
  while (state == State::kNotTaken) state = StateOfHeld(tid);
  return state == State::kHeld;
}

bool IsHeldOnce(pid_t tid) {
  return InterruptedThread::Hold(tid, kLong).ok() && IsHeldAmongThreads(tid);
}

// As daemon(7) advises.
void ResetSignals(sighandler_t to) {
  for (int number = 1; number < NSIG; ++number) signal(number, to);
  signal(SIGALRM, SIG_DFL);
}

TEST(InterruptionSignalTest, AProgramResetsAllSignals) {
  for (const sighandler_t to : {SIG_DFL, SIG_IGN}) {
    EXPECT_EQ(InAChild([to] {
                const int signal = *InterruptionSignal();
                const pid_t other = Start(&Spin);
                ResetSignals(to);
                if (!IsHeldOnce(other)) return 1;
                ResetSignals(to);
                // And in the other order.
                if (!IsHeldAmongThreads(other)) return 2;
                return signal == *InterruptionSignal() ? 0 : 3;
              }),
              0);
  }
}

std::atomic<int> handled{0};

TEST(InterruptionSignalTest, AProgramHasAHandlerOfItsOwn) {
  EXPECT_EQ(InAChild([] {
              const int number = *InterruptionSignal();
              const pid_t other = Start(&Spin);
              signal(number, [](int) { ++handled; });
              InterruptedThreads::FindDeaf();
              if (StateOfHeld(other) != State::kSignalIsTaken) return 1;
              if (InterruptedThread::Hold(other, kLong).status().code() !=
                  absl::StatusCode::kFailedPrecondition) {
                return 2;
              }
              if (InterruptedThread::TryHold(other, kLong)) return 3;
              if (handled != 0) return 4;
              // It goes on when that handler is gone.
              signal(number, SIG_DFL);
              return IsHeldOnce(other) ? 0 : 5;
            }),
            0);
}

}  // namespace
}  // namespace instar
