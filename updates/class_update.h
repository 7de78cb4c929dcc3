// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A conversion of a class (heap/conversion.h) as an update function, with its
// condition: what EagerUpdateClass() and LazyUpdateClass() make
// (updates/eager_update_class.h, updates/lazy_update_class.h).
//
//   ClassUpdate update = EagerUpdateClass<Site, SiteV2>();
//   INSTAR_RETURN_IF_ERROR(update.Prepare());
//   SetUpdateFunction(thread, update).Trigger();
//   ...
//   SetUpdateFunction(thread, update.UndoFunction()).Trigger();
//
// An attempt holds all controlled threads at a rendezvous
// (threads/rendezvous.h), within one update function of one thread, looks at
// all their stacks, and converts if none of them is inside the class: in a
// member function of one of its versions, or in a function with one in its
// signature (updates/class_functions.h), paused continulets included. Otherwise
// it answers "not yet" with the thread, the function and its depth, or with the
// thread that came to no update point in time, having changed nothing.
//
// The same is asked of an eager and of a lazy conversion. A lazy one changes no
// object at that moment. But from then on any thread that comes to an object
// through a proxy converts it: whoever was inside would go on in an object that
// another thread changes; and a constructor that was running would leave an
// object of which it is not known whether it was born before or after.
//
// Threads that are not controlled are neither held nor looked at: they must not
// use the class, or must do so in ways of their own.
//
//   state    | Prepare() | Apply()                | Undo()
//   ---------+-----------+------------------------+--------------------------
//   new      | prepared  | as prepared            | done, nothing happens
//   prepared | prepared  | applied or not yet     | done, nothing happens
//   applied  | -         | done, nothing happens  | prepared or not yet
// After an error the state, and every object, is as before, but for one: a
// Convert() or a constructor that does not return within five seconds, while
// threads are held, is given up; they are released under it. When it returns,
// the answer is DATA_LOSS, nothing more has been converted, and all further
// attempts have that answer.
//
// Lifetime: a ClassUpdate is a handle; copies are the same update. Dropping it
// leaves it in effect.
//
// Threads: everything may be called from any thread, not in signal handlers.
// While one thread is at it, others are told "not yet". Given to several
// threads as update function, it is done by the first at whose point it can be;
// the others find it done.
//
// Errors: as "failed", or from Prepare() before any thread is asked, those of
// VersionChange::Check() (heap/version_change.h), FunctionsOfTypes(), and what
// Convert() answers.

#ifndef INSTAR_UPDATES_CLASS_UPDATE_H_
#define INSTAR_UPDATES_CLASS_UPDATE_H_

#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "heap/conversion.h"
#include "heap/version_change.h"
#include "threads/attempt.h"
#include "threads/update_request.h"
#include "updates/class_functions.h"
#include "updates/class_watch.h"

namespace instar {

struct UpdateClassOptions {
  ConversionOptions conversion;
  ClassFunctionsOptions functions;
  // For how long an attempt waits for threads; those that have come stand still
  // meanwhile. Twice as long, up to 32 times, after an attempt to which that
  // was too short. A passive thread that has not come is asked alone next time.
  // All in all threads stand still for at most 20 ms of any second for attempts
  // that are "not yet": when that is used up, the answer is as before.
  std::chrono::nanoseconds limit = std::chrono::milliseconds(10);
};

class ClassUpdate {
 public:
  // For this package.
  ClassUpdate(std::shared_ptr<ConversionStep> step,
              std::shared_ptr<updates_internal::ClassWatch> watch,
              std::chrono::nanoseconds limit);

  // Checks everything that can be checked, looks up names and allocates, while
  // the program runs. Called by Apply() if it was not.
  absl::Status Prepare();

  Attempt Apply();
  Attempt Undo();
  bool is_applied() const;

  // As an update function: Apply() in the thread, at its update point.
  Attempt operator()(UpdateContext& context);
  // The update function that takes it back.
  UpdateFunction UndoFunction() const;

  // For how many objects have which version, and to wait for a progressive one.
  ConversionStep& conversion() const;

 private:
  struct State;
  Attempt Try(bool apply, const UpdateContext* context);

  std::shared_ptr<State> state_;
};

namespace updates_internal {

template <typename Old, typename New>
ClassUpdate MakeClassUpdate(std::unique_ptr<ConversionStep> step,
                            const UpdateClassOptions& options) {
  return ClassUpdate(
      std::move(step),
      std::make_shared<ClassWatch>(Old::UpdatableRoot::Class(),
                                   &TypesOfChange<Old, New>, options.functions),
      options.limit);
}

// Attempts until one is done or has failed, or the limit has passed.
absl::Status ApplyWithin(ClassUpdate update, std::chrono::nanoseconds limit);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_CLASS_UPDATE_H_
