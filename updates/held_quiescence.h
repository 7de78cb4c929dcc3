// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Changes something at a moment at which controlled threads are held and none
// of them is inside of given functions. Internal to this package; of functions
// that change in a plan, see updates/planned_update.h.
//
// Threads: any, one at a time; a second one is told "not yet" at once, since it
// could be one that the first waits for. Given an UpdateContext, it is called
// in that update function. The stacks are those of the held threads, their
// paused continulets included, and the caller's own: the computation that the
// update function paused, or else where it is called from.
//
// Memory ordering: as of a rendezvous (threads/rendezvous.h).

#ifndef INSTAR_UPDATES_HELD_QUIESCENCE_H_
#define INSTAR_UPDATES_HELD_QUIESCENCE_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "stack/function_set.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "threads/update_request.h"
#include "updates/author_watch.h"

namespace instar {
namespace updates_internal {

class PatientLimit {
 public:
  explicit PatientLimit(std::chrono::nanoseconds first) : first_(first) {}

  std::chrono::nanoseconds now() const { return factor_ * first_; }
  void Note(bool was_too_short) {
    factor_ = was_too_short ? std::min(2 * factor_, 32) : 1;
  }

 private:
  std::chrono::nanoseconds first_;
  int factor_ = 1;
};

struct HoldOptions {
  // For how long threads are waited for. Doubled, up to 32 times what it was,
  // by an attempt to which that was too short; as it was after any other.
  PatientLimit* limit = nullptr;
  // Which threads; null: all controlled ones.
  std::function<std::vector<ThreadRef>()> threads;
  // Of the update function that calls; null: called from anywhere else.
  const UpdateContext* context = nullptr;
  // Calls `change`, which runs code of the author that `what` names; null:
  // there is none.
  AuthorWatch* watch = nullptr;
  std::string what;
};

// Calls `change` at such a moment; "not yet" names the thread, and the function
// and its depth or where the thread is that did not come. What `change` answers
// is the failure.
Attempt WhenHeldAndQuiescent(
    absl::Span<const std::shared_ptr<const WatchedFunctions>> watched,
    const HoldOptions& options, absl::FunctionRef<absl::Status()> change);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_HELD_QUIESCENCE_H_
