// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What schedules know of the library's own mechanisms besides their interface:
// where an update's author has written a part of what they run. Of a mechanism
// of somebody else, all is the author's. Internal to this package.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_BUILT_IN_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_BUILT_IN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/no_allocation.h"
#include "heap/internal/conversion_watch.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "threads/update_request.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {
namespace updates_internal {

// Of a mechanism for the threads of this name, as an update function: whether
// it was given to one of them.
absl::Status CheckThreadOf(const UpdateContext& context,
                           const std::string& thread_name);

class BuiltInMechanism : public Mechanism {
 public:
  // What of the author's runs while threads stand still. They say so
  // themselves, by AuthorsCode (base/no_allocation.h).
  enum class Authors {
    kNothing,
    kInTheChange,  // in Apply() and Undo(): Convert(), constructors, hooks
    kAlways,       // in Ready() too
  };
  virtual Authors authors() const = 0;
  // What is said to run, if that does not return.
  virtual std::string AuthorsPart() const { return name(); }

  // Of plans: what makes the change quick, from before threads are stopped for
  // the first time until the last time is over, whatever came of it.
  virtual absl::Status BeginAttempts() { return absl::OkStatus(); }
  virtual void EndAttempts() {}

  // Of conversions: objects so far, and all that are to be converted before it
  // is applied; whether some are converted in the background. At any time, by
  // any thread.
  struct Progress {
    std::size_t converted = 0;
    std::size_t total = 0;
    bool is_converting = false;
  };
  virtual Progress progress() const { return {}; }
  // Tells each object that it converts (heap/conversion.h); null: nobody.
  virtual void WatchBy(ConversionWatch* watch) { static_cast<void>(watch); }

  // Who must be stopped at least, if it is not in a plan: called by an update
  // function, or from anywhere else.
  virtual Stacks least_stacks(bool in_update_function) const {
    static_cast<void>(in_update_function);
    return Stacks::kThisThread;
  }
  // In a thread that waits in a blocking region: it is to be got out of it.
  virtual bool InterruptsBlockingCalls() const { return false; }
  // After Ready() was done: up to which address of its own stack the mechanism
  // makes the thread unwind when it goes on; 0: nothing.
  virtual std::uintptr_t UnwindsUpTo(const ThreadRef& thread) const {
    static_cast<void>(thread);
    return 0;
  }
  // What a point must allow for this thread to stand there when the change is
  // made (docs/loop_update_points.md: points in loops). With threads held:
  // takes no lock, and allocates nothing. kMemory is for all that looks at the
  // program's memory, or changes it.
  virtual PointAllows NeedsOf(const ThreadRef& thread) const {
    static_cast<void>(thread);
    return PointAllows::kMemory;
  }
  // As an update function: whether it is done in each thread that it is given
  // to, and not by the first of them for all.
  virtual bool IsDoneInEachThread() const { return false; }
  // Whether new calls can be made to wait, at the entries of the functions that
  // must be quiescent (updates/quiescence/forced_quiescence.h).
  virtual bool CanBeForced() const { return false; }
};

// Of what the author's code answered, which is copied as that allocates.
inline Attempt AttemptOfAuthor(absl::Status status) {
  if (status.ok()) return Attempt::Done();
  const AuthorsCode its_error;
  return Attempt::Failed(std::move(status));
}

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_BUILT_IN_H_
