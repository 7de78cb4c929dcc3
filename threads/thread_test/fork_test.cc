// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A child of fork() calls updatable functions and passes update points,
// whatever was asked of the threads of its parent at that moment.

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/internal/thread_record.h"
#include "threads/rendezvous.h"
#include "threads/testing/functions_for_test.h"
#include "threads/update_point.h"
#include "threads/update_request.h"

namespace instar {
namespace {

using namespace threads_test;  // NOLINT: the functions under test

constexpr std::chrono::seconds kLimit(60);

RendezvousOptions Within(std::chrono::nanoseconds limit) {
  RendezvousOptions options;
  options.limit = limit;
  return options;
}

// What a child made of it.
enum class Outcome { kDone, kStuck, kFailed };

// Forks; the child calls `function` and ends. One that waits for ever is ended
// by an alarm.
Outcome InChild(const std::function<bool()>& function) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(function() ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return Outcome::kFailed;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
    return Outcome::kStuck;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? Outcome::kDone
                                                       : Outcome::kFailed;
}

bool StepsAndPassesPoints() {
  for (int i = 0; i < 100; ++i) {
    if (Step(i) != i + 1) return false;
    UpdatePoint();
  }
  const std::size_t controlled =
      threads_internal::this_thread.record == nullptr ? 0 : 1;
  return ControlledThreads().size() == controlled;
}

TEST(ThreadsForkTest, ControlledThreadForksWhileOthersHoldAndUpdateThreads) {
  std::atomic<bool> done{false};
  int forks = 0, stuck = 0, failed = 0;
  ControlledThread forking = StartActiveThread("forking", [&] {
    for (; forks < 50 && stuck < 3; ++forks) {
      const Outcome outcome = InChild(&StepsAndPassesPoints);
      stuck += outcome == Outcome::kStuck;
      failed += outcome == Outcome::kFailed;
    }
    done = true;
  });
  ControlledThread other = StartActiveThread("other", [&] { StepUntil(done); });
  std::thread updating([&] {
    while (!done) {
      UpdateRequest request = SetUpdateFunction(
          other.ref(), [](UpdateContext&) { return Attempt::NotYet("never"); });
      UpdateRequest of_forking = SetUpdateFunction(
          forking.ref(), [](UpdateContext&) { return Attempt::Done(); });
      request.Trigger();
      of_forking.Trigger();
      std::this_thread::yield();
      request.Cancel();
      of_forking.Cancel();
    }
  });
  std::thread holding([&] {
    while (!done) {
      auto held = Rendezvous::HoldAll(Within(std::chrono::milliseconds(20)));
      std::this_thread::yield();
    }
  });
  updating.join();
  holding.join();
  forking.Join();
  other.Join();
  EXPECT_EQ(stuck, 0) << "of " << forks << " children";
  EXPECT_EQ(failed, 0) << "of " << forks << " children";
}

bool HoldsAllAndPassesPoints() {
  {
    auto held = Rendezvous::HoldAll(Within(kLimit));
    if (!held.ok()) return false;
  }
  return StepsAndPassesPoints();
}

TEST(ThreadsForkTest, ForkAtARendezvousGivesAChildThatIsNotHeld) {
  std::atomic<bool> has_begun{false}, done{false};
  Outcome outcome = Outcome::kFailed;
  ControlledThread thread = StartPassiveThread("forking", [&] {
    has_begun = true;
    // Without a system call, in which it would be held.
    while ((threads_internal::this_thread.attention &
            threads_internal::kAttentionHold) == 0) {
    }
    // It is asked for, and has not come; another thread has the turn.
    outcome = InChild(&HoldsAllAndPassesPoints);
    while (!done) UpdatePoint();
  });
  // One that has not begun comes to the rendezvous where it begins.
  while (!has_begun) std::this_thread::yield();
  std::thread holding([&] {
    auto held = Rendezvous::HoldAll(Within(kLimit));
    EXPECT_TRUE(held.ok()) << held.status();
  });
  holding.join();
  done = true;
  thread.Join();
  EXPECT_EQ(outcome, Outcome::kDone);
}

TEST(ThreadsForkTest, AChildHasNothingOfARendezvousThatItsThreadHeld) {
  std::atomic<bool> done{false};
  ControlledThread other = StartPassiveThread("other", [&] {
    while (!done) UpdatePoint();
  });
  auto held = Rendezvous::HoldAll(Within(kLimit));
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(
      InChild([&] {
        auto own = Rendezvous::HoldAll(Within(kLimit));
        if (!own.ok()) return false;
        held->Release();
        // The turn is that of its own one still.
        bool is_free = true;
        std::thread([&] {
          is_free =
              Rendezvous::HoldAll(Within(std::chrono::milliseconds(20))).ok();
        }).join();
        own->Release();
        return !is_free && HoldsAllAndPassesPoints();
      }),
      Outcome::kDone);
  held->Release();
  done = true;
  other.Join();
}

TEST(ThreadsForkTest, ARequestFailsIfNoThreadCanAttendToIt) {
  // In a child, where no request worker of an earlier test can be about to end.
  EXPECT_EQ(InChild([] {
              // Passes no point, at which it would attend to it itself, while
              // there is no request worker.
              std::atomic<bool> done{false}, passes{false};
              ControlledThread thread = StartPassiveThread("updated", [&] {
                while (!done) {
                  if (passes) UpdatePoint();
                }
              });
              const auto update = [&] {
                UpdateRequest request = SetUpdateFunction(
                    thread.ref(),
                    [](UpdateContext&) { return Attempt::Done(); });
                request.Trigger();
                return request.Await(kLimit).code();
              };
              pthread_attr_t usual, huge;
              pthread_getattr_default_np(&usual);
              pthread_attr_init(&huge);
              pthread_attr_setstacksize(&huge, std::size_t{1} << 50);
              pthread_setattr_default_np(&huge);
              const absl::StatusCode without = update();
              pthread_setattr_default_np(&usual);
              passes = true;
              const absl::StatusCode with = update();
              done = true;
              thread.Join();
              return without == absl::StatusCode::kResourceExhausted &&
                     with == absl::StatusCode::kOk;
            }),
            Outcome::kDone);
}

TEST(ThreadsForkTest, ChildHasNoOtherThreadAndNoRequest) {
  std::atomic<bool> done{false};
  std::vector<ControlledThread> threads;
  threads.push_back(StartActiveThread("other", [&] { StepUntil(done); }));
  UpdateRequest request = SetUpdateFunction(
      threads[0].ref(), [](UpdateContext&) { return Attempt::NotYet("no"); });
  request.Trigger();
  while (request.attempts() == 0) std::this_thread::yield();
  EXPECT_EQ(InChild([&] {
              const bool ended = threads[0].state() == ThreadState::kEnded &&
                                 ControlledThreads().empty();
              const bool cancelled =
                  request.is_finished() &&
                  request.Await(kLimit).code() == absl::StatusCode::kCancelled;
              threads.clear();  // joins nobody
              // New ones can be started and updated.
              bool updated = false;
              std::atomic<bool> stop{false};
              ControlledThread mine =
                  StartActiveThread("mine", [&] { StepUntil(stop); });
              UpdateRequest again =
                  SetUpdateFunction(mine.ref(), [&](UpdateContext&) {
                    updated = true;
                    return Attempt::Done();
                  });
              again.Trigger();
              const bool ok = again.Await(kLimit).ok();
              stop = true;
              mine.Join();
              return ended && cancelled && ok && updated;
            }),
            Outcome::kDone);
  EXPECT_FALSE(request.is_finished());
  EXPECT_TRUE(request.Cancel());
  done = true;
}

}  // namespace
}  // namespace instar
