// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/author_watch.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/at_fork.h"
#include "base/fork_mutex.h"
#include "base/library_code.h"
#include "base/linux/own_thread.h"
#include "base/status_macros.h"
#include "updates/internal/author_calls.h"
#include "updates/internal/where_is.h"

namespace instar {
namespace updates_internal {
namespace {

// How late it is noticed that the time is up.
constexpr std::chrono::milliseconds kLook(100);
// For how many such times a thread without a watch goes on to look: the next
// one that comes by then need not wake it.
constexpr int kIdleLooks = 10;

}  // namespace

// A thread that looks at one watch after the other.
class AuthorWatch::Watcher {
 public:
  // The one that is parked, or a new one.
  static absl::StatusOr<std::shared_ptr<Watcher>> Take();
  // It is parked, unless another one is.
  static void GiveBack(std::shared_ptr<Watcher> watcher);

  void Attach(AuthorWatch* watch);
  // Nobody looks at the watch afterwards.
  void Detach();

 private:
  bool IsOfThisProcess() const { return generation_ == ForkGeneration(); }
  // It may be in the middle of anything, and its thread is not in this process.
  static void Forget(std::shared_ptr<Watcher> of_parent) {
    static_cast<void>(new std::shared_ptr<Watcher>(std::move(of_parent)));
  }
  void Run();
  void End();

  static ForkGuarded<std::shared_ptr<Watcher>> parked_;

  const std::uint32_t generation_ = ForkGeneration();
  std::mutex lock_;  // of the rest; owned while it looks
  std::condition_variable changed_;
  AuthorWatch* watch_ = nullptr;
  bool is_asleep_ = false;  // until it is woken
  bool ends_ = false;
};

ForkGuarded<std::shared_ptr<AuthorWatch::Watcher>>
    AuthorWatch::Watcher::parked_;

absl::StatusOr<std::shared_ptr<AuthorWatch::Watcher>>
AuthorWatch::Watcher::Take() {
  std::shared_ptr<Watcher> watcher;
  {
    const LibraryCode not_here;
    const auto parked = parked_.Lock();
    watcher.swap(*parked);
  }
  if (watcher != nullptr) {
    if (watcher->IsOfThisProcess()) return watcher;
    Forget(std::move(watcher));
  }
  watcher = std::make_shared<Watcher>();
  INSTAR_ASSIGN_OR_RETURN(std::thread thread,
                          StartOwnThread(
                              "instar-watch", [watcher] { watcher->Run(); },
                              OwnThreadRuns::kLibraryAlone));
  thread.detach();
  return watcher;
}

void AuthorWatch::Watcher::GiveBack(std::shared_ptr<Watcher> watcher) {
  if (!watcher->IsOfThisProcess()) return Forget(std::move(watcher));
  {
    const LibraryCode not_here;
    const auto parked = parked_.Lock();
    if (*parked == nullptr || !(*parked)->IsOfThisProcess()) {
      watcher.swap(*parked);
    }
  }
  if (watcher == nullptr) return;
  if (watcher->IsOfThisProcess()) return watcher->End();
  Forget(std::move(watcher));
}

void AuthorWatch::Watcher::Attach(AuthorWatch* watch) {
  const LibraryCode not_here;
  std::lock_guard<std::mutex> lock(lock_);
  watch_ = watch;
  // Otherwise it looks soon enough.
  if (is_asleep_) changed_.notify_one();
}

void AuthorWatch::Watcher::Detach() {
  if (!IsOfThisProcess()) return;
  const LibraryCode not_here;
  std::lock_guard<std::mutex> lock(lock_);
  watch_ = nullptr;
}

void AuthorWatch::Watcher::End() {
  std::lock_guard<std::mutex> lock(lock_);
  ends_ = true;
  changed_.notify_one();
}

void AuthorWatch::Watcher::Run() {
  std::unique_lock<std::mutex> lock(lock_);
  for (int idle = 0; !ends_;) {
    if (watch_ != nullptr) {
      watch_->Look();
      idle = 0;
    } else if (++idle > kIdleLooks) {
      is_asleep_ = true;
      changed_.wait(lock, [this] { return watch_ != nullptr || ends_; });
      is_asleep_ = false;
      continue;
    }
    changed_.wait_for(lock, kLook);
  }
}

AuthorWatch::AuthorWatch(Clock::time_point until,
                         std::function<bool()> is_cancelled,
                         Clock::duration at_least)
    : until_(until),
      is_cancelled_(std::move(is_cancelled)),
      at_least_(at_least) {}

AuthorWatch::~AuthorWatch() {
  if (watcher_ == nullptr) return;
  watcher_->Detach();
  Watcher::GiveBack(std::move(watcher_));
}

absl::Status AuthorWatch::Start() {
  absl::StatusOr<std::shared_ptr<Watcher>> watcher = Watcher::Take();
  if (!watcher.ok()) {
    return absl::Status(
        watcher.status().code(),
        absl::StrCat("nothing can watch over the update's own code: ",
                     watcher.status().message()));
  }
  watcher_ = *std::move(watcher);
  watcher_->Attach(this);
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

void AuthorWatch::Look() {
  const Clock::time_point now = Clock::now();
  if (is_cancelled_()) until_ = std::min(until_, now);
  if (conversion_.TakeProgress()) came_on_ = now;
  Clock::rep since = calls_since_.load(std::memory_order_acquire);
  // What was set for the call is read when it has been given up: until then it
  // may be over, and another one begin.
  if (now < until_ || since <= kIdle ||
      now - std::max(came_on_, Clock::time_point(Clock::duration(since))) <
          call_at_least_.load(std::memory_order_relaxed) ||
      !calls_since_.compare_exchange_strong(since, kGivenUp,
                                            std::memory_order_acq_rel)) {
    return;
  }
  if (world_ != nullptr) conversion_.Stop();
  const LockOwner owner = FindLockOwner(caller_);
  if (world_ != nullptr) world_->ReleaseByAnother();
  std::lock_guard<std::mutex> lock(lock_);
  owner_ = owner;
  is_given_up_ = true;
  changed_.notify_all();
}

std::string AuthorWatch::running(bool* released) const {
  std::string what;
  pid_t caller;
  {
    const LibraryCode not_here;  // Look() needs the lock
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
