// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/held_call.h"

#include <mutex>
#include <utility>

#include "base/check.h"
#include "threads/internal/thread_record.h"

namespace instar {

using threads_internal::ThreadRecord;

namespace {

// Whether the thread is held by the rendezvous of `thread`, not by a later one.
// Under the record's lock.
bool IsSameHold(const ThreadRecord& record, const HeldThread& thread) {
  return record.hold && record.stamp.get() == thread.hold;
}

}  // namespace

const char* FindCallObstacle(const HeldThread& thread) {
  ThreadRecord& record = *thread.thread.record();
  const std::lock_guard<std::mutex> lock(record.lock);
  if (record.in_update_function) return "it is in an update function";
  if (record.new_main) return "it is about to be rebooted";
  if (record.allows != PointAllows::kReboot) {
    return threads_internal::kNoExceptionFromLoop;
  }
  if (record.when_it_goes_on) return "another activation of it is replaced";
  if (thread.is_interrupted || !record.is_at_point) {
    return "it is at no update point, but waits in a call";
  }
  return nullptr;
}

stack_internal::ExposedNode* ExposedBy(const HeldThread& thread) {
  stack_internal::ExposedNode** const exposed =
      thread.thread.record()->exposed_values;
  return exposed == nullptr ? nullptr : *exposed;
}

bool SetHeldCall(const HeldThread& thread, absl::AnyInvocable<void()>& call) {
  ThreadRecord& record = *thread.thread.record();
  const std::lock_guard<std::mutex> lock(record.lock);
  if (!IsSameHold(record, thread)) return false;
  INSTAR_CHECK(record.is_at_point && !record.when_it_goes_on)
      << "thread '" << record.name << "' is not held at an update point";
  record.when_it_goes_on = std::move(call);
  return true;
}

absl::AnyInvocable<void()> CancelHeldCall(const HeldThread& thread) {
  ThreadRecord& record = *thread.thread.record();
  const std::lock_guard<std::mutex> lock(record.lock);
  if (!IsSameHold(record, thread)) return nullptr;
  return std::exchange(record.when_it_goes_on, nullptr);
}

const char* FindOwnCallObstacle() {
  ThreadRecord& record = *threads_internal::this_thread.record;
  const std::lock_guard<std::mutex> lock(record.lock);
  INSTAR_CHECK(record.in_update_function)
      << "thread '" << record.name << "' is in no update function";
  if (record.allows != PointAllows::kReboot) {
    return threads_internal::kNoExceptionFromLoop;
  }
  if (record.new_main) return "it is about to be rebooted";
  if (record.when_it_goes_on) return "another activation of it is replaced";
  return nullptr;
}

void SetOwnCall(absl::AnyInvocable<void()> call) {
  ThreadRecord& record = *threads_internal::this_thread.record;
  const std::lock_guard<std::mutex> lock(record.lock);
  INSTAR_CHECK(record.in_update_function && !record.when_it_goes_on)
      << "thread '" << record.name << "' has something to call already";
  record.when_it_goes_on = std::move(call);
}

absl::AnyInvocable<void()> CancelOwnCall() {
  ThreadRecord& record = *threads_internal::this_thread.record;
  const std::lock_guard<std::mutex> lock(record.lock);
  return std::exchange(record.when_it_goes_on, nullptr);
}

}  // namespace instar
