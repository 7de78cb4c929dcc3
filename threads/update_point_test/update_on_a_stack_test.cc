// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Stacks on which a thread is not updated, and through which it is not
// rebooted.

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/testing/sanitizers.h"
#include "continuation/foreign_stacks.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "threads/update_request.h"

namespace instar {
namespace {

using testing::HasSubstr;

// Longer than any test takes: an event that does not come fails the test.
constexpr std::chrono::seconds kLimit(60);

// Comes to update points within C: qsort() owns memory where it calls back.
int CompareAtUpdatePoint(const void* a, const void* b) {
  UpdatePoint();
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

TEST(UpdateOnAStackTest, NotThroughCUnlessTheAuthorSaysSo) {
  INSTAR_SKIP_UNDER_TSAN(kComparedByTsan);
  for (const bool through_c : {false, true}) {
    std::atomic<bool> sorting{true}, rebooted{false}, stop{false};
    ControlledThread thread = StartPassiveThread("sorting", [&] {
      while (sorting) {
        int numbers[] = {3, 1, 2};
        qsort(numbers, 3, sizeof(int), &CompareAtUpdatePoint);
      }
      while (!stop) UpdatePoint();
    });
    UpdateRequest request =
        SetUpdateFunction(thread.ref(), [&](UpdateContext& context) {
          RebootOptions options;
          options.through_c = through_c;
          return context.Reboot([&] { rebooted = true; }, options);
        });
    request.Trigger();
    if (!through_c) {
      while (request.attempts() == 0) std::this_thread::yield();
      EXPECT_FALSE(request.is_finished());
      EXPECT_THAT(request.reason(), HasSubstr("is C, whose locks"));
      sorting = false;
    }
    EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
    sorting = false;
    stop = true;
    thread.Join();
    EXPECT_TRUE(rebooted);
  }
}

TEST(UpdateOnAStackTest, NoUpdateOnASignalStack) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  static std::atomic<int> handled;
  handled = 0;
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("signalled", [&] {
    std::vector<char> memory(64 << 10);
    stack_t stack = {};
    stack.ss_sp = memory.data();
    stack.ss_size = memory.size();
    EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
    struct sigaction action = {}, before;
    action.sa_flags = SA_ONSTACK;
    action.sa_handler = [](int) {
      UpdatePoint();
      ++handled;
    };
    EXPECT_EQ(sigaction(SIGUSR2, &action, &before), 0);
    while (handled == 0) pthread_kill(pthread_self(), SIGUSR2);
    EXPECT_EQ(sigaction(SIGUSR2, &before, nullptr), 0);
    stack.ss_flags = SS_DISABLE;
    EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
    while (!stop) UpdatePoint();
  });
  int handled_then = 0;
  UpdateRequest request = SetUpdateFunction(thread.ref(), [&](UpdateContext&) {
    handled_then = handled;
    return Attempt::Done();
  });
  request.Trigger();
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  EXPECT_EQ(request.reason(), "");
  EXPECT_GE(handled_then, 1);  // not in the handler
  stop = true;
}

TEST(UpdateOnAStackTest, NoUpdateOnAStackThatNobodyDeclared) {
  INSTAR_SKIP_UNDER_TSAN(kFibersUntold);
  static ucontext_t thread_context, fiber_context;
  static std::atomic<int> passed;
  static std::atomic<bool> leave;
  passed = 0;
  std::atomic<bool> declared{false}, runs{false}, stop{false};
  std::vector<char> stack(256 << 10);
  const auto low = reinterpret_cast<std::uintptr_t>(stack.data());
  ForeignStacks fibers([&](ForeignStacks::Yield yield) {
    if (declared && runs) yield({RunningStack(low, low + stack.size())});
    return true;
  });
  testing::internal::CaptureStderr();
  for (const bool declares : {false, true}) {
    declared = declares;
    leave = stop = false;
    ControlledThread thread = StartPassiveThread("fibers", [&] {
      getcontext(&fiber_context);
      fiber_context.uc_stack.ss_sp = stack.data();
      fiber_context.uc_stack.ss_size = stack.size();
      fiber_context.uc_link = &thread_context;
      makecontext(
          &fiber_context,
          [] {
            while (!leave) {
              UpdatePoint();
              ++passed;
            }
          },
          0);
      runs = true;
      swapcontext(&thread_context, &fiber_context);
      runs = false;
      while (!stop) UpdatePoint();
    });
    UpdateRequest request = SetUpdateFunction(
        thread.ref(), [&](UpdateContext&) { return Attempt::Done(); });
    request.Trigger();
    if (!declares) {
      while (request.reason().empty()) std::this_thread::yield();
      EXPECT_THAT(request.reason(), testing::HasSubstr("foreign_stacks.h"));
      EXPECT_FALSE(request.is_finished());
      leave = true;
    }
    EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
    leave = stop = true;
    thread.Join();
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("thread 'fibers': it came to an update point "
                                 "on a stack"));
}

}  // namespace
}  // namespace instar
