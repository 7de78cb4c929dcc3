// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What stands in the way of a change, noted while threads are stopped and told
// when they run again. Internal to this package.
//
//   Obstacles obstacles(/*most=*/1);
//   ... threads are stopped ...
//   obstacles.Add(Obstacle::Kind::kDidNotStop, tid);
//   ... they run ...
//   if (!obstacles.empty()) return obstacles.ToAttempt();
//
// Threads: one. Adding allocates nothing and takes no lock.

#ifndef INSTAR_UPDATES_QUIESCENCE_INTERNAL_OBSTACLES_H_
#define INSTAR_UPDATES_QUIESCENCE_INTERNAL_OBSTACLES_H_

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/linux/mapped_array.h"
#include "base/linux/traced_threads.h"
#include "stack/activity.h"
#include "stack/function_set.h"
#include "threads/attempt.h"
#include "threads/rendezvous.h"
#include "updates/quiescence/blocker.h"

namespace instar {
namespace updates_internal {

struct Obstacle {
  enum class Kind {
    kActive,         // or unknown: see `activity`
    kSwitching,      // the thread may be in the middle of a switch
    kDidNotStop,     // the thread did not take the signal
    kFiltered,       // its seccomp filters may not allow what the handler does
    kListIsLocked,   // a thread begins or ends having continulets
    kTooDeep,        // more continulets within continulets than are looked at
    kNotSent,        // the signal
    kSignalIsTaken,  // by the program: it has a handler for it
    kNoTurn,         // another thread holds threads
    kNoList,         // of threads
    kMayAllocate,    // it may own a lock of the allocator
    kOwnsLock,       // one of this library
  };
  Kind kind = Kind::kActive;
  // The thread; 0 if there is none.
  pid_t tid = 0;
  // The thread that asks is on it.
  bool is_own = false;
  const WatchedFunctions* watched = nullptr;  // of `activity`
  Activity activity;
  char continulet[40] = "";
  // Of kDidNotStop and kFiltered: why the thread could not be traced either.
  TracedThreads::Refusal refusal;
};

// The name that the program gave a thread, or else the kernel's; while threads
// run.
std::string PlainNameOf(pid_t tid);

class Obstacles {
 public:
  // As many as people want to read of.
  static constexpr std::size_t kMany = 1024;
  // How many are noted; those that follow are only counted.
  explicit Obstacles(std::size_t most) : most_(most) {}

  // --- While threads are stopped.

  void Add(Obstacle::Kind kind, pid_t tid);
  void Add(const Obstacle& obstacle);
  bool is_full() const { return !is_complete_ || noted_.size() >= most_; }
  bool empty() const {
    return noted_.empty() && is_complete_ && missing_.empty() &&
           others_.empty() && failure_.ok();
  }

  // --- When they run.

  // The points are those of StopOptions.
  void AddMissing(std::vector<MissingThread> missing, absl::string_view point,
                  std::map<std::string, std::string> points = {});
  void Add(Blocker blocker) { others_.push_back(std::move(blocker)); }
  void AddReason(std::string reason);
  // An error that no other attempt mends.
  void Fail(absl::Status failure) { failure_ = std::move(failure); }

  const std::vector<MissingThread>& missing() const { return missing_; }
  const absl::Status& failure() const { return failure_; }
  // Whether a function is active on a stack.
  bool has_active() const;
  // Whether a longer limit may help: a thread did not come, or did not take a
  // signal that it does not block.
  bool needs_time() const;

  std::vector<Blocker> ToBlockers() const;
  // Done if there are none; not yet, with all of them; or the failure.
  Attempt ToAttempt() const;

 private:
  const std::size_t most_;
  MappedArray<Obstacle> noted_;
  bool is_complete_ = true;  // there was memory for all
  std::vector<MissingThread> missing_;
  std::string point_;
  std::map<std::string, std::string> points_;
  std::vector<Blocker> others_;
  absl::Status failure_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_INTERNAL_OBSTACLES_H_
