// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/author_watch.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/library_code.h"
#include "base/linux/own_thread.h"
#include "updates/internal/author_calls.h"
#include "updates/internal/where_is.h"

namespace instar {
namespace updates_internal {
namespace {

// How late it is noticed that the time is up.
constexpr std::chrono::milliseconds kLook(100);

}  // namespace

AuthorWatch::AuthorWatch(Clock::time_point until,
                         std::function<bool()> is_cancelled,
                         Clock::duration at_least)
    : until_(until),
      is_cancelled_(std::move(is_cancelled)),
      at_least_(at_least) {}

AuthorWatch::~AuthorWatch() {
  {
    std::lock_guard<std::mutex> lock(lock_);
    ends_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

absl::Status AuthorWatch::Start() {
  absl::StatusOr<std::thread> thread =
      StartOwnThread("instar-watch", [this] { Watch(); });
  if (!thread.ok()) {
    return absl::Status(
        thread.status().code(),
        absl::StrCat("nothing can watch over the update's own code: ",
                     thread.status().message()));
  }
  thread_ = *std::move(thread);
  return absl::OkStatus();
}

AuthorWatch::Clock::rep AuthorWatch::BeginCall(StoppedWorld* world,
                                               const std::string& what,
                                               Clock::duration at_least) {
  gave_up_ = false;
  world_ = world;
  call_at_least_.store(at_least, std::memory_order_relaxed);
  what_ = &what;
  caller_ = static_cast<pid_t>(syscall(SYS_gettid));
  const Clock::rep since = Clock::now().time_since_epoch().count();
  calls_since_.store(since, std::memory_order_release);
  return since;
}

bool AuthorWatch::EndCall(Clock::rep since) {
  if (calls_since_.compare_exchange_strong(since, kIdle,
                                           std::memory_order_acq_rel)) {
    return true;
  }
  gave_up_ = true;
  has_released_ |= world_ != nullptr;
  std::unique_lock<std::mutex> lock(lock_);
  changed_.wait(lock, [this] { return is_given_up_; });
  is_given_up_ = false;
  calls_since_.store(kIdle, std::memory_order_release);
  return false;
}

absl::Status AuthorWatch::Call(StoppedWorld& world, const std::string& what,
                               absl::FunctionRef<absl::Status()> function) {
  const Clock::rep since = BeginCall(&world, what, at_least_);
  // Of a thread that ends there, by pthread_exit(): its rendezvous goes.
  absl::Cleanup unwound = [this, since] { EndCall(since); };
  absl::Status status = CallAuthor(function);
  std::move(unwound).Cancel();
  if (EndCall(since)) return status;
  world.Release();  // what is this thread's own
  return absl::DataLossError(absl::StrCat(
      what, " had not returned when the time was up", Describe(owner_),
      "; the threads were released while it ran, and went on with what had "
      "been done by then: the "
      "state of the program is unknown"));
}

absl::Status AuthorWatch::Call(const std::string& what,
                               absl::FunctionRef<absl::Status()> function,
                               Clock::duration at_least) {
  const Clock::rep since = BeginCall(nullptr, what, at_least);
  absl::Cleanup unwound = [this, since] { EndCall(since); };
  absl::Status status = CallAuthor(function);
  std::move(unwound).Cancel();
  if (EndCall(since)) return status;
  const bool is_cancelled = is_cancelled_();
  return absl::Status(is_cancelled ? absl::StatusCode::kCancelled
                                   : absl::StatusCode::kDeadlineExceeded,
                      absl::StrCat(what, " had not returned when ",
                                   is_cancelled ? "the update was cancelled"
                                                : "the time was up",
                                   Describe(owner_)));
}

void AuthorWatch::Watch() {
  Clock::time_point until = until_;
  Clock::time_point came_on = Clock::time_point::min();
  std::unique_lock<std::mutex> lock(lock_);
  while (!ends_) {
    const Clock::time_point now = Clock::now();
    if (is_cancelled_()) until = std::min(until, now);
    if (conversion_.TakeProgress()) came_on = now;
    Clock::rep since = calls_since_.load(std::memory_order_acquire);
    // What was set for the call is read when it has been given up: until then
    // it may be over, and another one begin.
    if (now >= until && since > kIdle &&
        now - std::max(came_on, Clock::time_point(Clock::duration(since))) >=
            call_at_least_.load(std::memory_order_relaxed) &&
        calls_since_.compare_exchange_strong(since, kGivenUp,
                                             std::memory_order_acq_rel)) {
      lock.unlock();
      if (world_ != nullptr) conversion_.Stop();
      const LockOwner owner = FindLockOwner(caller_);
      if (world_ != nullptr) world_->ReleaseByAnother();
      lock.lock();
      owner_ = owner;
      is_given_up_ = true;
      changed_.notify_all();
    }
    changed_.wait_until(lock, now + kLook);
  }
}

std::string AuthorWatch::running(bool* released) const {
  std::string what;
  pid_t caller;
  {
    const LibraryCode not_here;  // Watch() needs the lock to release threads
    std::lock_guard<std::mutex> lock(lock_);
    if (!is_given_up_) return "";
    // Call() may return, and its text end, as soon as the lock is free.
    what = *what_;
    caller = caller_;
    if (released != nullptr) *released = world_ != nullptr;
  }
  const LockOwner owner = FindLockOwner(caller);
  const std::vector<std::string> functions = WhereIs(caller);
  return absl::StrCat(
      what, " still runs, in thread ", caller,
      functions.empty()
          ? ""
          : absl::StrCat(", in ", absl::StrJoin(functions, " <- ")),
      Describe(owner));
}

}  // namespace updates_internal
}  // namespace instar
