// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What tests of threads that wait have in common.

#ifndef INSTAR_THREADS_WAITS_TEST_BLOCKED_THREADS_H_
#define INSTAR_THREADS_WAITS_TEST_BLOCKED_THREADS_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/thread_ref.h"
#include "threads/update_request.h"

namespace instar {
namespace threads_test {

inline constexpr std::chrono::seconds kLimit(60);
inline constexpr std::chrono::hours kForEver(1);

inline void AwaitBlocked(const ThreadRef& thread) {
  while (thread.state() != ThreadState::kBlocked) std::this_thread::yield();
}

inline UpdateRequest StartReboot(const ThreadRef& thread,
                                 std::function<void()> new_main) {
  UpdateOptions options;
  options.interrupt_blocking_calls = true;
  UpdateRequest request = SetUpdateFunction(
      thread,
      [new_main](UpdateContext& context) { return context.Reboot(new_main); },
      options);
  request.Trigger();
  return request;
}

// Reboots a thread that is blocked in `call`, which must not return.
inline void ExpectRebootOutOf(ThreadKind kind, std::function<void()> call) {
  auto held = std::make_shared<int>(1);
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartThread("blocked", kind, [&] {
    const std::shared_ptr<int> on_stack = held;
    call();
    ADD_FAILURE() << "the call returned";
  });
  AwaitBlocked(thread);
  UpdateRequest request = StartReboot(thread, [&] {
    EXPECT_EQ(held.use_count(), 1);
    rebooted = true;
  });
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  thread.Join();
  EXPECT_TRUE(rebooted);
}

}  // namespace threads_test
}  // namespace instar

#endif  // INSTAR_THREADS_WAITS_TEST_BLOCKED_THREADS_H_
