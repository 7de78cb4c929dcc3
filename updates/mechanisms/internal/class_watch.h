// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The functions of all versions of a class
// (updates/mechanisms/class_functions.h), looked up once, and again when the
// program has got other code or the class another version. Internal to this
// package.
//
//   ClassWatch watch(Old::Class(), &TypesOfChange<Old, New>, options);
//   INSTAR_ASSIGN_OR_RETURN(const auto watched, watch.Get(false));
//   ... hold the threads, look at their stacks ...
//
// Of objects that were loaded since PreloadClassFunctions(), the debug
// information is read only when it is asked for: `thorough`. Until then all of
// their code counts, which is right for those that have just been loaded and
// costs nothing. So the first attempt of an update asks without it, and those
// that follow with it: something is in the way, and time has passed anyway.
//
// Threads: any, before threads are held.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_CLASS_WATCH_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_CLASS_WATCH_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <typeinfo>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fork_mutex.h"
#include "heap/internal/version_change.h"
#include "stack/function_set.h"
#include "updates/mechanisms/class_functions.h"
#include "updates/mechanisms/internal/code_version.h"

namespace instar {
namespace updates_internal {

using WatchedSet = std::shared_ptr<const WatchedFunctions>;

class ClassWatch {
 public:
  using Types = std::function<std::vector<const std::type_info*>()>;

  ClassWatch(heap_internal::UpdatableClass* root, Types types,
             ClassFunctionsOptions options);

  heap_internal::UpdatableClass* root() const { return root_; }

  absl::StatusOr<WatchedSet> Get(bool thorough);

  // Whether the update looked at all threads of the process
  // (StoppedWorld::looks_at_all()), as it does if nobody says otherwise.
  bool looks_at_all() const {
    return looks_at_all_.load(std::memory_order_relaxed);
  }
  void set_looks_at_all(bool looks_at_all) {
    looks_at_all_.store(looks_at_all, std::memory_order_relaxed);
  }

 private:
  heap_internal::UpdatableClass* const root_;
  const Types types_;
  const ClassFunctionsOptions options_;
  // Relaxed: nothing is read by its value; the lock under which a watch is
  // remembered orders it.
  std::atomic<bool> looks_at_all_{true};

  struct Known {
    std::optional<CodeVersion> version;
    std::vector<const std::type_info*> looked_up;
    bool is_thorough = false;
    WatchedSet watched;
  };

  ForkMutex lock_;  // guards what follows
  Known known_;
};

// What the latest update of a class looks for, options included, and on whose
// stacks; late births are converted when the same is quiescent. One that nobody
// remembered: all functions of all versions in use, in all threads.
void RememberWatch(const std::shared_ptr<ClassWatch>& watch);
std::shared_ptr<ClassWatch> RememberedWatch(
    heap_internal::UpdatableClass* root);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_CLASS_WATCH_H_
