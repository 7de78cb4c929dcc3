// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/held_reboot.h"

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "threads/internal/frame_names.h"
#include "threads/internal/request_worker.h"

namespace instar {

using threads_internal::PendingRequest;
using threads_internal::ThreadRecord;

namespace {

constexpr std::size_t kMoreRequests = 4;

}  // namespace

std::string RebootObstacle::ToString() const {
  switch (kind) {
    case Kind::kNone:
      return "nothing is in the way";
    case Kind::kEnded:
      return "it has ended";
    case Kind::kNoBase:
      return "it is a ControlledThisThread, which has no function that a "
             "reboot could end";
    case Kind::kInterrupted:
      return "it waits in a system call outside of any blocking region";
    case Kind::kUpdateFunction:
      return "it is in an update function";
    case Kind::kWaiting:
      return "it waits for another update";
    case Kind::kLoop:
      return threads_internal::kNoExceptionFromLoop;
    case Kind::kRebooting:
      return "an earlier reboot has not ended its old function yet";
    case Kind::kStack:
      return absl::StrCat("its stack cannot be unwound from here: ",
                          threads_internal::Describe(safety));
  }
  return "";
}

void PrepareToFindRebootObstacles() { PrepareToFindCFrames(); }

RebootObstacle FindRebootObstacle(const HeldThread& thread,
                                  RebootOptions options) {
  RebootObstacle obstacle;
  ThreadRecord& record = *thread.thread.record();
  std::lock_guard<std::mutex> lock(record.lock);
  const ThreadState state = record.state.load(std::memory_order_relaxed);
  if (state == ThreadState::kEnded) {
    obstacle.kind = RebootObstacle::Kind::kEnded;
  } else if (!record.has_base) {
    obstacle.kind = RebootObstacle::Kind::kNoBase;
  } else if (thread.is_interrupted) {
    obstacle.kind = RebootObstacle::Kind::kInterrupted;
  } else if (record.in_update_function) {
    obstacle.kind = RebootObstacle::Kind::kUpdateFunction;
  } else if (record.waits_in_library) {
    obstacle.kind = RebootObstacle::Kind::kWaiting;
  } else if (record.allows != PointAllows::kReboot) {
    obstacle.kind = RebootObstacle::Kind::kLoop;
  } else if (record.new_main) {
    obstacle.kind = RebootObstacle::Kind::kRebooting;
  } else {
    for (const StackSnapshot& stack : thread.stacks) {
      // The first is the thread's own, the others are its paused continulets,
      // which are cancelled if their owner is on it.
      const int catching = obstacle.safety.catch_all_frames;
      obstacle.safety =
          &stack == &thread.stacks.front()
              ? threads_internal::CheckUnwindToBase(stack, record.base_frame,
                                                    options.through_c)
              : threads_internal::CheckCancellation(stack, options.through_c);
      obstacle.safety.catch_all_frames += catching;
      if (!obstacle.safety.safe()) {
        obstacle.kind = RebootObstacle::Kind::kStack;
        break;
      }
    }
  }
  return obstacle;
}

HeldReboot HeldReboot::Prepare(const ThreadRef& thread) {
  const std::shared_ptr<ThreadRecord>& record = thread.record();
  auto request = std::make_shared<PendingRequest>(record, UpdateFunction(),
                                                  UpdateOptions());
  request->phase = PendingRequest::Phase::kRebooting;
  std::lock_guard<std::mutex> lock(record->lock);
  // One for each that may be prepared at the same time.
  record->requests.reserve(record->requests.size() + kMoreRequests);
  return HeldReboot(std::move(request));
}

bool HeldReboot::IsPreparedFor(const ThreadRef& thread) const {
  const ThreadRecord& record = *thread.record();
  if (request_ == nullptr || request_->thread.get() != &record) return false;
  std::lock_guard<std::mutex> lock(request_->thread->lock);
  return record.requests.size() < record.requests.capacity();
}

void HeldReboot::Begin(absl::AnyInvocable<void()> new_main,
                       RebootOptions options) {
  INSTAR_CHECK(new_main != nullptr) << "a thread is rebooted into a function";
  const std::shared_ptr<ThreadRecord>& record = request_->thread;
  std::lock_guard<std::mutex> lock(record->lock);
  INSTAR_CHECK(record->hold && !record->new_main)
      << "thread '" << record->name << "' is not held, or is being rebooted";
  // These two are the thread's own otherwise. It reads them after it has let go
  // of this lock, or of the one that LetGo() is under.
  record->new_main = std::move(new_main);
  record->reboots_through_c = options.through_c;
  record->rebooting = request_;
  record->requests.push_back(request_);
  SetAttention(*record, threads_internal::kAttentionReboot, true);
}

void HeldReboot::Cancel() {
  ThreadRecord& record = *request_->thread;
  std::lock_guard<std::mutex> lock(record.lock);
  INSTAR_CHECK(record.hold && record.rebooting == request_)
      << "thread '" << record.name << "' has gone on";
  dropped_ = std::move(record.new_main);
  record.new_main = nullptr;
  record.rebooting = nullptr;
  auto& requests = record.requests;
  requests.erase(std::find(requests.begin(), requests.end(), request_));
  SetAttention(record, threads_internal::kAttentionReboot, false);
}

void HeldReboot::Released() {
  threads_internal::RequestWorker::Get().Add(request_);
}

}  // namespace instar
