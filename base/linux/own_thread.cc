// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/own_thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/at_fork.h"
#include "base/linux/blocked_signals.h"
#include "base/linux/seccomp_filter.h"
#include "base/linux/tasks.h"

// By which threads are stopped; 0: by none. Defined in
// stack/interrupted_thread.cc: a program that has not got that stops none.
extern "C" __attribute__((weak)) int InstarInterruptionSignal();

namespace instar {
namespace {

thread_local bool is_own_thread = false;

// The threads of this kind that there are: the number of each, with kAlone if
// it is of OwnThreadRuns::kLibraryAlone, and above it the ForkGeneration() of
// its process. Those of a parent are not in its child. Release and acquire: who
// sees a thread here sees what it did before it began, and when its place is
// free, all that it has done.
constexpr int kMostThreads = 64;
std::atomic<std::uint64_t> own_threads[kMostThreads] = {};
// Release and acquire, as above.
std::atomic<std::uint32_t> changes{0};

constexpr std::uint64_t kAlone = std::uint64_t{1} << 31;

std::uint64_t Listing(pid_t tid) {
  return std::uint64_t{ForkGeneration()} << 32 |
         static_cast<std::uint32_t>(tid);
}
bool IsOfThisProcess(std::uint64_t listing) {
  return listing != 0 && listing >> 32 == ForkGeneration();
}

std::atomic<bool> keeps_root{false};  // relaxed: set before they are started

void TakeOwnFolders() {
  constexpr SystemCall kUnshare = {"unshare", SYS_unshare, {CLONE_FS}};
  if (!keeps_root.load(std::memory_order_relaxed)) return;
  if (AnswerOfFilter(kUnshare).verdict == FilterVerdict::kAllows &&
      unshare(CLONE_FS) == 0) {
    (void)!chdir("/");
  }
}

// In the list for as long as it is there; if that is full it is none of them.
class Listed {
 public:
  explicit Listed(OwnThreadRuns runs)
      : listing_(Listing(static_cast<pid_t>(syscall(SYS_gettid))) |
                 (runs == OwnThreadRuns::kLibraryAlone ? kAlone : 0)) {
    changes.fetch_add(1, std::memory_order_acq_rel);
    for (auto& place : own_threads) {
      std::uint64_t found = place.load(std::memory_order_relaxed);
      if (!IsOfThisProcess(found) &&
          place.compare_exchange_strong(found, listing_,
                                        std::memory_order_acq_rel)) {
        return;
      }
    }
  }
  ~Listed() {
    for (auto& place : own_threads) {
      std::uint64_t found = listing_;
      if (place.compare_exchange_strong(found, 0, std::memory_order_acq_rel)) {
        break;
      }
    }
    changes.fetch_add(1, std::memory_order_acq_rel);
  }
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;

 private:
  const std::uint64_t listing_;
};

}  // namespace

absl::StatusOr<std::thread> StartOwnThread(const char* name,
                                           std::function<void()> body,
                                           OwnThreadRuns runs) {
  // Whoever stops threads from now on finds it in the list; and it sees which
  // signals the caller blocks of its own (SignalsBlockedByProgram()).
  std::promise<void> is_listed, goes_on;
  const std::future<void> when_listed = is_listed.get_future();
  try {
    std::thread thread;
    {
      const int allowed =
          InstarInterruptionSignal == nullptr ? 0 : InstarInterruptionSignal();
      const BlockedSignals blocked(allowed);
      thread = std::thread(
          [body = std::move(body), is_listed = std::move(is_listed),
           may_begin = goes_on.get_future(), allowed, runs]() mutable {
            // The caller may block even these.
            BlockedSignals::Admit(allowed);
            is_own_thread = true;
            TakeOwnFolders();
            const Listed listed(runs);
            is_listed.set_value();
            may_begin.wait();
            body();
          });
    }
    pthread_setname_np(thread.native_handle(), name);
    when_listed.wait();
    goes_on.set_value();
    return thread;
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no thread can be started (", name, "): ", error.what(),
        "; raise the limit of processes (ulimit -u, TasksMax= of systemd)"));
  }
}

void KeepRootOfOwnThreads() {
  keeps_root.store(true, std::memory_order_relaxed);
}

bool IsOwnThread() { return is_own_thread; }

bool IsOwnThread(pid_t tid) {
  const std::uint64_t wanted = Listing(tid);
  for (const auto& place : own_threads) {
    if ((place.load(std::memory_order_acquire) & ~kAlone) == wanted) {
      return true;
    }
  }
  return false;
}

bool RunsLibraryAlone(pid_t tid) {
  const std::uint64_t wanted = Listing(tid) | kAlone;
  for (const auto& place : own_threads) {
    if (place.load(std::memory_order_acquire) == wanted) return true;
  }
  return false;
}

OwnThreads CountOwnThreads() {
  OwnThreads own{0, changes.load(std::memory_order_acquire)};
  for (const auto& place : own_threads) {
    own.count += IsOfThisProcess(place.load(std::memory_order_acquire)) ? 1 : 0;
  }
  return own;
}

sigset_t SignalsBlockedByProgram() {
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  if (!is_own_thread) return blocked;
  sigemptyset(&blocked);
  // Also of a first thread that has ended.
  const std::uint64_t bits = SignalsBlockedBy(getpid()).value_or(0);
  for (int number = 1; number <= 64; ++number) {
    // Fails for those that the C library keeps for itself.
    if ((bits >> (number - 1)) & 1) sigaddset(&blocked, number);
  }
  return blocked;
}

}  // namespace instar
