// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/may_stay_interrupted.h"
#include "threads/internal/thread_record.h"

namespace instar {
namespace threads_internal {
namespace {

// The pause after a refusal at one place grows, also if a signal comes to
// nothing meanwhile since the thread, which it has woken, is not run at once.
TEST(RefusedPlaceTest, IsNotForgottenWhileTheThreadWaitsToBeRun) {
  std::atomic<pid_t> tid{0};
  std::atomic<bool> stop{false};
  std::thread runs([&] {
    tid = gettid();
    while (!stop) {
    }
  });
  while (tid == 0) std::this_thread::yield();
  ThreadRecord record("runs", ThreadKind::kPassive);
  record.tid = tid.load();
  StackSnapshot place;
  place.pc = reinterpret_cast<std::uintptr_t>(&usleep);
  place.sp = reinterpret_cast<std::uintptr_t>(&place);

  NoteRefusal(record, place);
  const std::chrono::nanoseconds first = record.refusal.pause;
  NoteNotTaken(record);
  NoteRefusal(record, place);
  EXPECT_GE(record.refusal.pause, 4 * first);
  // Another place is another matter.
  ++place.sp;
  NoteRefusal(record, place);
  EXPECT_EQ(record.refusal.pause, first);
  stop = true;
  runs.join();
}

}  // namespace
}  // namespace threads_internal
}  // namespace instar
