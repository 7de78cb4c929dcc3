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

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "stack/function_set.h"
#include "threads/attempt.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"
#include "threads/update_request.h"
#include "updates/author_watch.h"
#include "updates/quiescence/pacing.h"

namespace instar {
namespace updates_internal {

// What attempts know of those before them: when the next may stop threads, for
// how long it waits for them, and which came late. Threads stand still for at
// most 20 ms of any second (updates/quiescence/pacing.h). A thread that has not
// come is asked alone next time, and the others when it has arrived.
class Patience {
 public:
  using Clock = Pacing::Clock;

  // `first_limit`: for how long threads are waited for. Doubled, up to 32
  // times what it was, by an attempt to which that was too short.
  explicit Patience(std::chrono::nanoseconds first_limit);

  // "Not yet", as the attempt before, if it is too early for the next one.
  std::optional<Attempt> TooEarly(Clock::time_point now) const;

  std::chrono::nanoseconds limit() const { return pacing_.limit(); }
  // Whom to ask first, if anyone.
  std::optional<ThreadRef> first() const;

  // An attempt that asked first, in vain, and stopped nobody else.
  void NoteFirstDidNotCome(Clock::time_point now);
  // An attempt that was "not yet", and for which threads stood still.
  void NoteNotYet(Clock::time_point stopped, Clock::time_point released,
                  const std::vector<MissingThread>& missing);
  // What the latest one answered.
  Attempt NotYet(std::string reason);

 private:
  Pacing pacing_;
  Clock::time_point next_{};
  std::optional<ThreadRef> late_;
  int alone_ = 0;  // attempts since all were asked
  std::string reason_;
};

struct HoldOptions {
  // Of the attempts before: TooEarly() was asked.
  Patience* patience = nullptr;
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
