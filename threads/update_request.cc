// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/update_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/linux/deadline.h"
#include "threads/internal/pending_request.h"
#include "threads/internal/request_worker.h"

namespace instar {

using threads_internal::Busy;
using threads_internal::PendingRequest;
using threads_internal::RequestWorker;
using threads_internal::ThreadRecord;
using Phase = PendingRequest::Phase;

namespace threads_internal {

void PendingRequest::FinishLocked(absl::Status with) {
  phase = Phase::kFinished;
  result = std::move(with);
  finished.notify_all();
}

void PendingRequest::Finish(absl::Status with) {
  std::lock_guard<std::mutex> guard(lock);
  if (phase != Phase::kFinished) FinishLocked(std::move(with));
}

void UpdateAttention(ThreadRecord& record) {
  const auto now = PendingRequest::Clock::now();
  bool due = false;
  bool due_at_entries = false;
  auto& requests = record.requests;
  for (const auto& request : requests) {
    std::lock_guard<std::mutex> guard(request->lock);
    if (request->phase != Phase::kPending || request->due > now) continue;
    due = true;
    due_at_entries |= request->AcceptsEntries();
  }
  SetAttention(record, kAttentionUpdate, due, due_at_entries);
}

void ForgetFinished(ThreadRecord& record) {
  // Destroyed when the lock is free: a captured value's destructor is the
  // program's code.
  std::vector<std::shared_ptr<PendingRequest>> finished;
  std::lock_guard<std::mutex> lock(record.lock);
  auto& requests = record.requests;
  const auto end = std::stable_partition(
      requests.begin(), requests.end(), [](const auto& request) {
        std::lock_guard<std::mutex> guard(request->lock);
        return request->phase != Phase::kFinished;
      });
  finished.assign(std::make_move_iterator(end),
                  std::make_move_iterator(requests.end()));
  requests.erase(end, requests.end());
  UpdateAttention(record);
}

void FinishRequests(ThreadRecord& record) {
  std::vector<std::shared_ptr<PendingRequest>> requests;
  {
    std::lock_guard<std::mutex> lock(record.lock);
    requests.swap(record.requests);
  }
  for (const auto& request : requests) {
    request->Finish(absl::FailedPreconditionError(absl::StrCat(
        "thread '", record.name, "' ended before it was updated")));
  }
  if (!requests.empty()) RequestWorker::Get().Notify();
}

}  // namespace threads_internal

UpdateRequest SetUpdateFunction(const ThreadRef& thread,
                                UpdateFunction function,
                                UpdateOptions options) {
  const Busy busy;
  auto request = std::make_shared<PendingRequest>(
      thread.record(), std::move(function), std::move(options));
  bool ended;
  {
    std::lock_guard<std::mutex> lock(thread.record()->lock);
    ended = thread.state() == ThreadState::kEnded;
    if (!ended) thread.record()->requests.push_back(request);
  }
  if (ended) {
    request->Finish(absl::FailedPreconditionError(
        absl::StrCat("thread '", thread.name(), "' has ended")));
  }
  return UpdateRequest(std::move(request));
}

void UpdateRequest::Trigger() {
  const Busy busy;
  {
    std::lock_guard<std::mutex> guard(request_->lock);
    if (request_->phase != Phase::kSet) return;
    request_->phase = Phase::kPending;
    request_->due = PendingRequest::Clock::now();
  }
  RequestWorker::Get().Add(request_);
}

namespace {

// A copy that shares nothing with `status`. Copies share a counted part, and
// the threads that hold them let go of it at different times: ThreadSanitizer
// cannot see that the count orders them, in an Abseil that was built without
// it.
absl::Status Unshared(const absl::Status& status) {
  absl::Status copy(status.code(), status.message());
  status.ForEachPayload(
      [&copy](absl::string_view url, const absl::Cord& payload) {
        copy.SetPayload(url, payload);
      });
  return copy;
}

}  // namespace

absl::Status UpdateRequest::Await(std::chrono::nanoseconds limit) const {
  const auto until = DeadlineAfter(limit);
  std::unique_lock<std::mutex> guard(request_->lock);
  while (request_->phase != Phase::kFinished) {
    if (request_->finished.wait_until(guard, until) ==
            std::cv_status::timeout &&
        request_->phase != Phase::kFinished) {
      const std::string why =
          request_->reason.empty()
              ? std::string("it has come to no update point")
              : request_->reason;
      return absl::DeadlineExceededError(absl::StrCat(
          "thread '", request_->thread->name, "' is not updated yet, after ",
          request_->attempts, " attempts: ", why));
    }
  }
  return Unshared(request_->result);
}

bool UpdateRequest::Cancel() {
  const Busy busy;
  {
    std::lock_guard<std::mutex> guard(request_->lock);
    switch (request_->phase) {
      case Phase::kSet:
      case Phase::kPending:
        request_->FinishLocked(
            absl::CancelledError("the update was cancelled"));
        break;
      case Phase::kTrying:
      case Phase::kRebooting:
        return false;
      case Phase::kFinished:
        return !request_->result.ok();
    }
  }
  ForgetFinished(*request_->thread);
  RequestWorker::Get().Notify();
  return true;
}

bool UpdateRequest::is_finished() const {
  std::lock_guard<std::mutex> guard(request_->lock);
  return request_->phase == Phase::kFinished;
}

int UpdateRequest::attempts() const {
  std::lock_guard<std::mutex> guard(request_->lock);
  return request_->attempts;
}

std::string UpdateRequest::reason() const {
  std::lock_guard<std::mutex> guard(request_->lock);
  return request_->reason;
}

}  // namespace instar
