// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/internal/request_worker.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/linux/own_thread.h"
#include "code/entries_here.h"
#include "code/entry_interception.h"
#include "threads/internal/fork_handlers.h"
#include "threads/internal/frame_names.h"

namespace instar {
namespace threads_internal {
namespace {

using Clock = PendingRequest::Clock;
using Phase = PendingRequest::Phase;

// How often a thread is woken until it has left its blocking call: a signal
// that comes just before the system call is lost.
constexpr auto kWakeAgain = std::chrono::milliseconds(1);
// Of the time for which entries were held, that much counts as a cost: a thread
// that does not come for long must not delay its update for far longer.
constexpr std::chrono::nanoseconds kMostCounted = std::chrono::milliseconds(4);
// After an error of interception.
constexpr auto kInterceptAgain = std::chrono::milliseconds(10);

// Gets the thread out of a blocking call if it is in one. If that cannot be, it
// says why.
void WakeIfBlocked(ThreadRecord& record, std::string* reason) {
  UnwindSafety safety;
  {
    std::lock_guard<std::mutex> lock(record.lock);
    if (record.state.load(std::memory_order_relaxed) != ThreadState::kBlocked ||
        record.waits_in_library || record.where == nullptr) {
      return;
    }
    if (record.wakeup.wake == nullptr) {
      *reason =
          "it is idle inside of a library, and its IdleScope has no `wake`";
      return;
    }
    // Whether C may be passed is for the update function to say.
    safety = CheckUnwindToBase(
        *record.where, record.base_frame,
        /*through_c=*/!record.new_main || record.reboots_through_c);
    if (safety.safe()) {
      record.was_woken = true;
      if (!record.wakeup.wake(record, record.wakeup.argument)) {
        *reason = "it is in a blocking call, and no signal can be sent to it";
      }
      return;
    }
  }
  *reason = absl::StrCat("it is in a blocking call that cannot be unwound: ",
                         Describe(safety));
}

}  // namespace

struct RequestWorker::State {
  std::mutex lock;
  std::condition_variable changed;
  bool is_running = false;  // the thread
  bool has_changed = false;
  std::vector<std::shared_ptr<PendingRequest>> requests;

  std::mutex entries_lock;
  int entry_holders = 0;
  bool preloaded = false;
  std::optional<EntryInterception> interception;
  Clock::time_point holding_since;
  std::atomic<std::int64_t> interception_cost{0};  // nanoseconds
};

RequestWorker& RequestWorker::Get() {
  static RequestWorker* const worker =
      new RequestWorker;  // its thread is detached
  return *worker;
}

RequestWorker::RequestWorker() : state_(new State) {}

void RequestWorker::Add(std::shared_ptr<PendingRequest> request) {
  const Busy busy;
  absl::Status status;
  {
    std::lock_guard<std::mutex> lock(state_->lock);
    state_->requests.push_back(request);
    state_->has_changed = true;
    if (state_->is_running) {
      state_->changed.notify_one();
      return;
    }
    absl::StatusOr<std::thread> thread =
        StartOwnThread("instar-attend", [this] { Run(); });
    if (thread.ok()) {
      thread->detach();
      state_->is_running = true;
      return;
    }
    status = thread.status();
  }
  {
    std::lock_guard<std::mutex> guard(request->lock);
    // Its thread may have come to it meanwhile, and goes on with it.
    if (request->phase != Phase::kPending) return;
    request->FinishLocked(status);
  }
  ForgetFinished(*request->thread);
  std::lock_guard<std::mutex> lock(state_->lock);
  auto& requests = state_->requests;
  requests.erase(std::remove(requests.begin(), requests.end(), request),
                 requests.end());
}

void RequestWorker::Notify() {
  const Busy busy;
  std::lock_guard<std::mutex> lock(state_->lock);
  state_->has_changed = true;
  state_->changed.notify_one();
}

absl::Status RequestWorker::HoldEntries() {
  const Busy busy;
  std::lock_guard<std::mutex> lock(state_->entries_lock);
  if (state_->entry_holders == 0) {
    // Reading symbols disturbs nobody, and is no part of what each attempt
    // costs.
    if (!state_->preloaded) {
      const absl::Status status = EntryInterception::Preload();
      if (!status.ok()) return status;
      state_->preloaded = true;
    }
    state_->holding_since = Clock::now();
    auto interception = EntryInterception::OfAll();
    if (!interception.ok()) return interception.status();
    state_->interception.emplace(*std::move(interception));
  }
  ++state_->entry_holders;
  return absl::OkStatus();
}

void RequestWorker::ReleaseEntries() {
  const Busy busy;
  std::lock_guard<std::mutex> lock(state_->entries_lock);
  if (state_->entry_holders == 0) return;  // held since before a fork()
  if (--state_->entry_holders > 0) return;
  state_->interception.reset();
  const std::chrono::nanoseconds taken = Clock::now() - state_->holding_since;
  state_->interception_cost.store(std::min(taken, kMostCounted).count(),
                                  std::memory_order_relaxed);
}

std::chrono::nanoseconds RequestWorker::interception_cost() const {
  return std::chrono::nanoseconds(
      state_->interception_cost.load(std::memory_order_relaxed));
}

bool RequestWorker::TryLockEntriesForFork() {
  return state_->entries_lock.try_lock();
}

void RequestWorker::LockForFork() { state_->lock.lock(); }

void RequestWorker::UnlockAfterFork(bool owns_entries) {
  state_->lock.unlock();
  if (owns_entries) state_->entries_lock.unlock();
}

void RequestWorker::ForgetAllInChild(bool owns_entries) {
  for (const auto& request : state_->requests) FinishInChild(*request);
  // Not destroyed, for that would destroy what update functions own.
  MakeAnew(state_->requests);
  MakeAnew(state_->changed);
  state_->is_running = false;
  state_->has_changed = false;
  // Nothing is intercepted in a child (code/entry_interception.h).
  MakeAnew(state_->interception);
  state_->entry_holders = 0;
  state_->preloaded = false;
  if (!owns_entries) MakeAnew(state_->entries_lock);
}

namespace {
[[gnu::constructor]] void RegisterAtStart() { RegisterForkHandlers(); }
}  // namespace

void RequestWorker::Run() {
  bool holds_entries = false;
  std::unique_lock<std::mutex> lock(state_->lock);
  while (true) {
    state_->has_changed = false;
    std::vector<std::shared_ptr<PendingRequest>> requests = state_->requests;
    lock.unlock();

    bool entries_wanted = false;
    Clock::time_point next = Clock::time_point::max();
    std::vector<PendingRequest*> finished;
    for (const auto& request : requests) {
      bool is_due = false;
      bool interrupts = false;
      {
        std::lock_guard<std::mutex> guard(request->lock);
        switch (request->phase) {
          case Phase::kPending:
            is_due = request->due <= Clock::now();
            if (!is_due) next = std::min(next, request->due);
            interrupts = is_due && request->options.interrupt_blocking_calls;
            entries_wanted |= is_due && request->AcceptsEntries();
            break;
          case Phase::kRebooting:
            // Until the base is reached: a catch (...) may have kept it.
            interrupts = true;
            entries_wanted |= request->thread->kind == ThreadKind::kActive;
            break;
          case Phase::kFinished:
            finished.push_back(request.get());
            break;
          case Phase::kSet:
          case Phase::kTrying:
            break;
        }
      }
      if (is_due) {
        std::lock_guard<std::mutex> record_lock(request->thread->lock);
        UpdateAttention(*request->thread);
      }
      if (interrupts) {
        std::string reason;
        WakeIfBlocked(*request->thread, &reason);
        // Also if it is not blocked now: it may be soon.
        next = std::min(next, Clock::now() + kWakeAgain);
        if (!reason.empty()) {
          std::lock_guard<std::mutex> guard(request->lock);
          request->reason = reason;
        }
      }
    }
    if (entries_wanted && !kHasFunctionEntries) {
      for (const auto& request : requests) {
        if (!request->AcceptsEntries()) continue;
        std::lock_guard<std::mutex> guard(request->lock);
        request->reason =
            "functions have no entries on this processor, so that an active "
            "thread is met at its update points and where it waits alone";
      }
    } else if (entries_wanted && !holds_entries) {
      const absl::Status status = HoldEntries();
      holds_entries = status.ok();
      if (!status.ok()) {
        next = std::min(next, Clock::now() + kInterceptAgain);
        for (const auto& request : requests) {
          if (!request->AcceptsEntries()) continue;
          std::lock_guard<std::mutex> guard(request->lock);
          request->reason = absl::StrCat(
              "function entries cannot be intercepted: ", status.message());
        }
      }
    } else if (!entries_wanted && holds_entries) {
      ReleaseEntries();
      holds_entries = false;
    }

    lock.lock();
    auto& pending = state_->requests;
    pending.erase(std::remove_if(pending.begin(), pending.end(),
                                 [&](const auto& request) {
                                   return std::find(
                                              finished.begin(), finished.end(),
                                              request.get()) != finished.end();
                                 }),
                  pending.end());
    if (state_->has_changed) continue;
    if (pending.empty()) {
      state_->is_running = false;
      return;
    }
    if (next == Clock::time_point::max()) {
      state_->changed.wait(lock);
    } else {
      state_->changed.wait_until(lock, next);
    }
  }
}

}  // namespace threads_internal
}  // namespace instar
