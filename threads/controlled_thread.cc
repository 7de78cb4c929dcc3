// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/controlled_thread.h"

#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <new>

#include "base/check.h"
#include "code/entry_interception.h"
#include "stack/exposed_values.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/pending_request.h"
#include "threads/internal/thread_body.h"
#include "threads/update_point_watch.h"

namespace instar {

using threads_internal::Busy;
using threads_internal::PerThread;
using threads_internal::Point;
using threads_internal::Registry;
using threads_internal::ThreadRecord;

namespace {

void Begin(ThreadRecord& record) {
  PerThread& mine = threads_internal::this_thread;
  const Busy busy;
  // A rendezvous may ask for it in a signal handler.
  StackOfThisThread();
  record.tid.store(gettid(), std::memory_order_relaxed);
  std::unique_lock<std::mutex> lock(record.lock);
  mine.record = &record;
  record.per_thread = &mine;
  record.exposed_values = &stack_internal::exposed_values;
  if (record.hold) {
    SetAttention(record, threads_internal::kAttentionHold, true,
                 record.hold_point == nullptr);
    mine.hold_needs.store(record.hold_needs, std::memory_order_relaxed);
  }
  UpdateAttention(record);
  if (threads_internal::update_point_watch.load(std::memory_order_acquire) !=
      nullptr) {
    SetAttention(record, threads_internal::kAttentionWatch, true);
  }
  WaitWhileHeld(record, lock, nullptr, "");
  Move(record, ThreadState::kRunning);
}

void End(ThreadRecord& record) {
  PerThread& mine = threads_internal::this_thread;
  const Busy busy;
  GiveUpReboot(record);
  {
    std::lock_guard<std::mutex> lock(record.lock);
    // Elsewhere than in its function if an exception has replaced a reboot, or
    // pthread_exit() or pthread_cancel() has ended the thread.
    record.in_update_function = false;
    const auto is_in = [&](ThreadState state) {
      return record.state.load(std::memory_order_relaxed) == state;
    };
    if (is_in(ThreadState::kInUpdateFunction)) {
      Move(record, ThreadState::kAtUpdatePoint);
    }
    if (!is_in(ThreadState::kRunning)) Move(record, ThreadState::kRunning);
    Move(record, ThreadState::kEnded);
    CountAsStopped(record);
    mine.record = nullptr;
    mine.attention.store(0, std::memory_order_relaxed);
    mine.entry_attention.store(0, std::memory_order_relaxed);
    record.per_thread = nullptr;
    record.exposed_values = nullptr;
  }
  FinishRequests(record);
  Registry::Get().Remove(&record);
}

// It is an exception like others here, and goes on.
void SayForeign(const ThreadRecord& record,
                const threads_internal::ThreadRebooted& reboot) {
  std::fprintf(stderr,
               "Instar: thread '%s' was thrown a reboot of thread '%s' that is "
               "not its own, or is over: a future, a promise or an "
               "exception_ptr has carried it. Code that stores all exceptions "
               "calls no update point\n",
               record.name.c_str(), reboot.thread_name().c_str());
}

void AtEntry(const InterceptedEntry& entry) {
  const CallerRegisters& caller = entry.caller();
  ArriveAt(Point{Point::Kind::kEntry, "",
                 SnapshotAtEntry(caller.return_address, caller.stack_pointer,
                                 caller.frame_pointer, StackOfCaller()),
                 entry.function()});
}

}  // namespace

namespace threads_internal {

std::shared_ptr<ThreadRecord> RecordOfThisThread(std::string name,
                                                 ThreadKind kind) {
  INSTAR_CHECK(this_thread.record == nullptr)
      << "'" << name << "' is to be the name of the controlled thread '"
      << this_thread.record->name << "'";
  return std::make_shared<ThreadRecord>(std::move(name), kind);
}

ThreadSession::ThreadSession(ThreadRecord& record) : record_(record) {
  Begin(record);
  if (record.kind == ThreadKind::kActive) {
    interceptor_.emplace(&AtEntry, &this_thread.entry_attention);
  }
}

ThreadSession::~ThreadSession() {
  interceptor_.reset();
  End(record_);
}

// The base of a controlled thread: nothing else catches a reboot.
__attribute__((noinline)) void RunThread(ThreadRecord& record,
                                         absl::AnyInvocable<void()> main) {
  record.base_frame =
      reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const ThreadSession session(record);
  // A thread can be rebooted before it has begun.
  if (record.new_main) main = TakeNewMain(record);
  while (main) {
    try {
      main();
    } catch (const threads_internal::ThreadRebooted& reboot) {
      if (!reboot.IsUnderWayIn(record)) {
        SayForeign(record, reboot);
        throw;
      }
    }
    main = TakeNewMain(record);
  }
}

}  // namespace threads_internal

ControlledThread& ControlledThread::operator=(
    ControlledThread&& other) noexcept {
  if (this != &other) {
    Join();
    record_ = std::move(other.record_);
    thread_ = std::move(other.thread_);
  }
  return *this;
}

void ControlledThread::Join() {
  if (!thread_.joinable()) return;
  bool lost;
  {
    const Busy busy;
    std::lock_guard<std::mutex> lock(record_->lock);
    lost = record_->lost_in_fork;
  }
  // Of a thread that this process has not, the system knows nothing.
  if (lost) {
    ::new (static_cast<void*>(&thread_)) std::thread();
    return;
  }
  thread_.join();
}

ThreadRef ControlledThread::ref() const {
  INSTAR_CHECK(record_ != nullptr) << "this handle is of no thread";
  return ThreadRef(record_);
}

ControlledThread StartThread(std::string name, ThreadKind kind,
                             absl::AnyInvocable<void()> function) {
  ControlledThread started;
  started.record_ = std::make_shared<ThreadRecord>(std::move(name), kind);
  Registry::Get().Add(started.record_);
  try {
    started.thread_ = std::thread(
        [record = started.record_, main = std::move(function)]() mutable {
          threads_internal::RunThread(*record, std::move(main));
        });
  } catch (...) {
    Registry::Get().Remove(started.record_.get());
    throw;
  }
  return started;
}

void RunControlled(std::string name, ThreadKind kind,
                   absl::AnyInvocable<void()> function) {
  const auto record =
      threads_internal::RecordOfThisThread(std::move(name), kind);
  Registry::Get().Add(record);
  threads_internal::RunThread(*record, std::move(function));
}

namespace {

std::shared_ptr<ThreadRecord> AddWithoutBase(std::string name,
                                             ThreadKind kind) {
  auto record = threads_internal::RecordOfThisThread(std::move(name), kind);
  record->has_base = false;
  Registry::Get().Add(record);
  return record;
}

}  // namespace

ControlledThisThread::ControlledThisThread(std::string name, ThreadKind kind)
    : record_(AddWithoutBase(std::move(name), kind)),
      session_(std::make_unique<threads_internal::ThreadSession>(*record_)) {}

ControlledThisThread::~ControlledThisThread() = default;

}  // namespace instar
