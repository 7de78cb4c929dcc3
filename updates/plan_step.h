// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// One step of a plan (updates/update_plan.h), for users who add their own:
//
//   class SwapTable final : public PlanStep {
//    public:
//     std::string name() const override { return "swap the routing table"; }
//     absl::Status Prepare(UpdateForecast&) override { return Build(&next_); }
//     absl::StatusOr<std::vector<Function>> QuiescentFunctions() override {
//       INSTAR_ASSIGN_OR_RETURN(const Function f, Function::Of(&Route));
//       return std::vector<Function>{f};
//     }
//     absl::Status Apply() override { std::swap(table, next_); return {}; }
//     absl::Status Undo() override { return Apply(); }
//   };
//   plan.Add(std::make_unique<SwapTable>());
//
// What is called when:
//
//   threads run    | Prepare(), QuiescentFunctions(), QuiescentCode(),
//                  | CanUndo(), name()
//   threads run    | Stage() of all, before they are held for the first time
//   threads run    | BeforeAttempt() of all, before each time
//   threads held   | Ready() of all steps; if all are done, Apply() of all, in
//                  | order; CancelApply() backwards, if one fails
//   threads held   | ReadyToUndo() of all; Undo() of all, backwards;
//                  | CancelUndo() forwards, if one fails
//   threads run    | Released(), of all, after Apply() or Undo() of all;
//                  | Blockers(), if Ready() or ReadyToUndo() said not yet
//   threads run    | Settle() of all, after the last time, whatever came of it
//
// While threads are held they may own any lock of the program, stdio's
// included: nothing here takes one. A step of yours may allocate then, since no
// thread is held that could own a lock of the allocator; what can be allocated
// before should be, for the program stands still. The library's own steps
// allocate nothing (threads/rendezvous.h).
//
// Apply() and Undo() do all or nothing. An exception that leaves a function
// here counts as an error; that of one that answers none (Released(), Settle(),
// Blockers()) is said on standard error, and all else goes on.
//
// What does not return is given up when the time of the update is up, or it is
// cancelled: others see that it still runs (Update::Progress()). Its answer is
// not used when it comes, and nothing is changed any more (docs/
// when_is_it_safe.md).
//
// Threads: all are called by the thread that applies or undoes the update.

#ifndef INSTAR_UPDATES_PLAN_STEP_H_
#define INSTAR_UPDATES_PLAN_STEP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "code/function.h"
#include "stack/function_set.h"
#include "threads/attempt.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"
#include "updates/update.h"

namespace instar {

class PlanStep {
 public:
  virtual ~PlanStep() = default;

  // For people: "redefine DoCommand(std::string)".
  virtual std::string name() const = 0;

  // Checks and allocates all that can be; changes nothing. An error is final:
  // this update does not fit this program. What is in the way for now, and
  // remarks, are appended to `forecast`. Called by Update::Prepare(), and again
  // by each Update::Apply(): the program has gone on meanwhile.
  virtual absl::Status Prepare(UpdateForecast& forecast) {
    static_cast<void>(forecast);
    return absl::OkStatus();
  }

  // These must be on no stack when the step is applied or undone. Threads that
  // the plan reboots are not asked: they do not return to their old functions.
  virtual absl::StatusOr<std::vector<Function>> QuiescentFunctions() {
    return std::vector<Function>();
  }
  // The same as a set that the step keeps, for as long as it is right: null if
  // there is none. `thorough` from the second attempt on: what is costly to
  // look up, and was taken for active for want of it, is looked up now.
  virtual absl::StatusOr<std::shared_ptr<const WatchedFunctions>> QuiescentCode(
      bool thorough) {
    static_cast<void>(thorough);
    return nullptr;
  }

  // Before each attempt: for what Ready() and the others need memory for, if
  // that depends on the threads there are.
  virtual void BeforeAttempt() {}

  // Whether Apply(), Undo() may follow at once. Not yet: the threads go on, and
  // it is asked again later. Failed: the update is given up. In a rehearsal
  // Ready() is called for each thread by itself, with that one held.
  virtual Attempt Ready(absl::Span<const HeldThread> threads) {
    static_cast<void>(threads);
    return Attempt::Done();
  }
  virtual Attempt ReadyToUndo(absl::Span<const HeldThread> threads) {
    static_cast<void>(threads);
    return Attempt::Done();
  }
  // What the latest "not yet" waited for; empty: its reason says it all.
  virtual std::vector<Blocker> Blockers() const { return {}; }

  // After Ready() or ReadyToUndo() was done: whether the step makes this thread
  // unwind its stack when it is released, without a way back.
  virtual bool EndsFunctionOf(const ThreadRef& thread) const {
    static_cast<void>(thread);
    return false;
  }

  virtual absl::Status Apply() = 0;
  virtual absl::Status Undo() = 0;
  // Why Undo() is impossible, known beforehand.
  virtual absl::Status CanUndo() const { return absl::OkStatus(); }

  // Takes back an Apply() or Undo() at the rendezvous at which it was called,
  // because another step has failed.
  virtual absl::Status CancelApply() { return Undo(); }
  // False: CancelApply() leaves in effect what Apply() did. The error says so.
  virtual bool CancelsApply() const { return true; }
  virtual absl::Status CancelUndo() { return Apply(); }

  // Apply() or Undo() of the whole plan has taken effect and the threads run.
  virtual void Released() {}

  // What makes Apply() and Undo() quick, and its end. An error means that
  // nothing is applied or undone; Settle() is called nevertheless.
  virtual absl::Status Stage() { return absl::OkStatus(); }
  virtual void Settle() {}

  // Threads that the step has started and that run because it is applied.
  virtual std::vector<ThreadRef> StartedThreads() const { return {}; }
};

}  // namespace instar

#endif  // INSTAR_UPDATES_PLAN_STEP_H_
