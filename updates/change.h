// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// One mechanism, alone: no plan, no manager. From any thread, or as an update
// function in a thread of its own choosing.
//
//   INSTAR_RETURN_IF_ERROR(
//       Apply(Redefine(&Price, &NewPrice), Stacks::kAllThreads));
//
//   Change change(ConvertEagerly<Site, SiteV2>());
//   INSTAR_RETURN_IF_ERROR(change.Prepare());
//   Attempt attempt = change.Apply();     // once; not yet: try again later
//   ...
//   attempt = change.Undo();
//
//   // The paper's way (PyMoult (HotSWUP'13), listing 2):
//   SetUpdateFunction(thread, Change(Redefine(&DoCommand, &NewDoCommand)))
//       .Trigger();
//
// An attempt stops threads, looks at their stacks (updates/quiescence/
// stopped_world.h says which, and what that costs), and changes everything, or
// answers "not yet" with what was in the way, having changed nothing.
//
//   state    | Prepare() | Apply()                | Undo()
//   ---------+-----------+------------------------+--------------------------
//   new      | prepared  | as prepared            | done, nothing happens
//   prepared | prepared  | applied or not yet     | done, nothing happens
//   applied  | applied   | done, nothing happens  | prepared or not yet
// After an error the state is as before, unless the error is DATA_LOSS: code of
// the author that did not return while threads were stopped, or a rollback that
// failed. Then each of these answers that. In a child of fork(), while another
// thread was about it, the error is FAILED_PRECONDITION: make a new one there.
//
// Attempts that are "not yet" keep other threads stopped for at most a tenth of
// any second with kAllThreads, and a fiftieth with kControlledThreads: when
// that is used up, Apply() and Undo() stop nobody for a while, and answer as
// the attempt before. A passive thread that has not come is asked alone next
// time (updates/quiescence/internal/retries.h).
//
// Forced quiescence: functions that are active on some stack whenever one looks
// are made quiescent. An attempt that finds one active lets new calls wait at
// the entries, those of threads that are inside of one pass, and looks again
// until all have drained (updates/quiescence/forced_quiescence.h says what
// waits, and what passes). At the limit it is given up, all threads go on, and
// the answer is "not yet". It needs kControlledThreads or kAllThreads, is for
// Redefine() of functions alone (a slot has no entry), and is not tried
// while the calling thread itself is inside of a function, which cannot drain
// then. Its attempts are not paced: the limit says for how long callers may
// stand still.
//
// Code of an update's author that does not return is given up: after five
// seconds if threads stand still meanwhile, which are released, and after three
// where they run. Prepare() is not limited.
//
// Lifetime: a Change is a handle; copies are the same change. Dropping it
// leaves in effect what is.
//
// Threads: everything may be called from any thread, not in signal handlers.
// Given to several threads as update function, it is applied by the first at
// whose point it can be; the others find it done. What is of one thread (a
// reboot, an activation that is replaced, an exposed value) is done in each,
// once for each time that it is given to it.

#ifndef INSTAR_UPDATES_CHANGE_H_
#define INSTAR_UPDATES_CHANGE_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "threads/update_request.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/quiescence/blocker.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {

struct ChangeOptions {
  // Whose stacks are looked at. By default those that the mechanism needs at
  // least: of redefinitions the calling thread's, and so of a reboot in the
  // thread itself; of all else those of the controlled threads.
  //
  // Not looked at with kControlledThreads: threads that are not controlled,
  // and, with `threads`, the controlled ones that are not given. They run on
  // while the change is made. That is right where they do not use what is
  // changed: a library's own threads, say, which a signal would disturb. One
  // that may be inside of it wants kAllThreads, or a plan
  // (updates/update_plan.h), which stops them by a signal when the controlled
  // ones are held.
  std::optional<Stacks> stacks;
  // With kControlledThreads: which of them; null: all.
  std::function<std::vector<ThreadRef>()> threads;
  // With kControlledThreads: they are held only at update points of this name,
  // and in blocking regions of it; empty: at any.
  std::string point;
  // For how long an attempt waits for threads; those that have come stand still
  // meanwhile. By default 10 ms, and longer, up to 320 ms, after attempts to
  // which that was too short.
  std::optional<std::chrono::nanoseconds> limit;
  // For how long new calls may be made to wait; 0: they are not.
  std::chrono::nanoseconds forced_quiescence{0};

  ChangeOptions() = default;
  ChangeOptions(Stacks s) : stacks(s) {}  // NOLINT: usually all there is
};

class Change {
 public:
  explicit Change(std::shared_ptr<Mechanism> mechanism,
                  ChangeOptions options = {});

  // "redefine shop::Price(int)"
  std::string name() const;

  // Checks everything that can be checked and allocates, so that errors show
  // before a thread is asked. Called by Apply() if it was not. What is to be
  // known besides is appended to `forecast`, if that is given.
  absl::Status Prepare(UpdateForecast* forecast = nullptr);
  // Why Undo() is impossible, known beforehand.
  absl::Status CanUndo() const;
  // What it would lose, a sentence each.
  std::vector<std::string> LostByUndo() const;

  // For schedules: whom alone the program lets be asked, as
  // ApplyOptions::threads (updates/update.h) says; null: all. What follows
  // keeps to it: kControlledThreads are these, a thread of
  // ChangeOptions::threads that is not among them is waited for, and
  // kAllThreads is FailedPrecondition. The function is called by each attempt,
  // on its thread, until it is replaced.
  void AskOnly(std::function<std::vector<ThreadRef>()> threads);

  // Stops threads, looks, and changes everything or nothing: the table above
  // says what each does in which state. Apply() prepares first.
  Attempt Apply();
  Attempt Undo();
  // What the latest attempt was "not yet" for, as its reason says it; empty if
  // it was not. At any time, by any thread.
  std::vector<Blocker> Blockers() const;

  // What would make Apply() wait now; nothing: it would have been done. A
  // moment later it may be otherwise. Prepares, and stops controlled threads
  // one after the other (kAllThreads: all at once), each for less than a
  // millisecond; changes nothing. Threads that it does not come to within some
  // seconds are in the answer. Errors: those at which Apply() would give up;
  // FailedPrecondition if it is applied.
  absl::StatusOr<std::vector<Blocker>> Check();
  // The same of it as an update function of this thread, at update points of
  // this name; empty: at any.
  absl::StatusOr<std::vector<Blocker>> CheckIn(const ThreadRef& thread,
                                               const std::string& point = "");

  bool is_applied() const;
  // DATA_LOSS is all that it answers. At any time, by any thread.
  bool is_broken() const;
  // Of a conversion: objects so far; those that are to be converted before it
  // is applied; whether it is applied, and some are converted in the
  // background. At any time, by any thread.
  struct Objects {
    std::size_t converted = 0;
    std::size_t total = 0;
    bool is_converting = false;
  };
  Objects objects() const;
  // Threads that were started and run because it is applied.
  std::vector<ThreadRef> StartedThreads() const;
  // Of the attempts that were done, since this was last called: for how long
  // they held each thread but the calling one, and how many of those were
  // stopped by a signal. At any time, by any thread.
  struct Holds {
    std::vector<std::chrono::nanoseconds> times;
    int by_signal = 0;
  };
  Holds TakeHolds();
  // For how long all attempts together have kept other threads stopped.
  std::chrono::nanoseconds time_stopped() const;

  // As an update function: Apply() in the thread, at its update point.
  Attempt operator()(UpdateContext& context);
  // The update function that takes it back.
  UpdateFunction UndoFunction() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Tries until it is done, has failed, or the time is up (DeadlineExceeded, with
// what was in the way). The calling thread sleeps in between, where others may
// hold it.
absl::Status Apply(std::shared_ptr<Mechanism> mechanism,
                   ChangeOptions options = {},
                   std::chrono::nanoseconds timeout = std::chrono::seconds(5));

}  // namespace instar

#endif  // INSTAR_UPDATES_CHANGE_H_
