// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A mechanism changes one thing in a running program, and takes it back. This
// is all that a new one has to be, and there is no other interface: those of
// the library are written against the same one, and can do nothing that yours
// cannot.
//
//   class SwapTable final : public Mechanism {
//    public:
//     std::string name() const override { return "swap the routing table"; }
//     absl::Status Prepare(UpdateForecast&) override { return Build(&next_); }
//     absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
//       INSTAR_ASSIGN_OR_RETURN(const Function route, Function::Of(&Route));
//       return QuiescentCode{{route}, {}};
//     }
//     Attempt Apply(const StoppedWorld&) override {
//       std::swap(table, next_);
//       return Attempt::Done();
//     }
//     Attempt Undo(const StoppedWorld& world) override { return Apply(world); }
//   };
//
// It says what is changed, not when: one mechanism works under every schedule.
//
//   plan.Add(std::make_shared<SwapTable>());       // with others, at one moment
//   threads.Add("worker", std::make_shared<SwapTable>());  // at its own point
//   Apply(std::make_shared<SwapTable>(), Stacks::kAllThreads);    // alone
//
// What is called when:
//
//   threads run    | Prepare(), MustBeQuiescent(), CanUndo(), LostByUndo(),
//                  | name(), at any time
//   threads run    | BeginAttempts(), of a plan; BeforeStop(), before each
//                  | attempt
//   threads stand  | Ready() of all mechanisms of the update, and
//                  | UnwindsUpTo(); if all are done, and what must be
//                  | quiescent is, Apply() of all, in order, or Undo() of all,
//                  | backwards. If one fails or is not yet, RollBack() of those
//                  | before it, the other way round
//   threads run    | Blockers(), if Ready() or the change said not yet;
//                  | AfterStop(), after each attempt; EndAttempts(), of a plan
//   at any time    | traits(), once, by whoever makes the update; progress(),
//                  | by any thread
//
// While threads stand still they may own any lock of the program, stdio's
// included: nothing here takes one. A mechanism of yours may allocate then,
// since no thread is held that could own a lock of the allocator; what can be
// allocated before should be, for the program stands still. Those of the
// library allocate nothing (MechanismTraits::authors).
//
// An exception that leaves a function here counts as an error; that of one that
// answers none is said on standard error. One that does not return is given up:
// in a plan when its time is up, in a Change after some seconds
// (docs/when_is_it_safe.md). Where that was Apply() or Undo(), nothing of the
// update is called any more.
//
// Threads: of one update, one call at a time, on the thread that applies it;
// but for traits() and progress().

#ifndef INSTAR_UPDATES_MECHANISMS_MECHANISM_H_
#define INSTAR_UPDATES_MECHANISMS_MECHANISM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "code/symbols/function.h"
#include "stack/function_set.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "updates/mechanisms/direction.h"
#include "updates/mechanisms/update_forecast.h"
#include "updates/quiescence/blocker.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {

// Where a mechanism runs code of an update's author, which may allocate, wait
// for a lock, or not return: threads are stopped where they own no lock of the
// allocator then, and it is given up if it does not return.
enum class AuthorsCodeIn {
  kEverything,  // all of the mechanism is the author's
  // The others allocate nothing while threads stand still, but within an
  // AuthorsCode (base/no_allocation.h) around what the author wrote.
  kQuestions,  // in Ready(), Apply() and Undo(); what is called before, too
  kTheChange,  // in Apply() and Undo(): conversions, hooks
  kNothing,
};

// What schedules have to know of a mechanism. It stays the same.
struct MechanismTraits {
  AuthorsCodeIn authors = AuthorsCodeIn::kEverything;
  // Who must be stopped at least, if it is not in a plan (ChangeOptions::stacks
  // of updates/change.h).
  Stacks least_stacks = Stacks::kControlledThreads;
  // It changes the controlled threads of this name, each for itself. Given to
  // one of them as its update function, it is done in each that it is given to,
  // and needs nobody else to be stopped; given to another thread, it fails.
  // Empty: it changes the program, and is done by the first for all.
  std::string thread = {};
  // A thread that it is given to, and that waits in a blocking region, is got
  // out of it.
  bool interrupts_blocking_calls = false;
};

// What must be on no stack.
struct QuiescentCode {
  // In every version that they ever had, their inlined copies included. Where
  // code has no debug information that would tell of those, it is an error.
  std::vector<Function> functions;
  // Sets that the mechanism keeps, for as long as they are right.
  std::vector<std::shared_ptr<const WatchedFunctions>> sets = {};
  // Of the functions: copies of which nothing is known are no error. The
  // mechanism has looked for them itself, or says that there are none.
  bool ignore_unknown_copies = false;
  // There are no sets, and each call of a function passes its entry: new ones
  // can be made to wait there (ChangeOptions::forced_quiescence).
  bool can_be_forced = false;
};

// What came of an attempt.
enum class AttemptResult {
  kApplied,     // all mechanisms of the update
  kUndone,      // the same
  kRolledBack,  // one did not change, and others had, or none
  kNothing,     // none was told to change
};
inline bool TookEffect(AttemptResult result) {
  return result == AttemptResult::kApplied || result == AttemptResult::kUndone;
}

class Mechanism {
 public:
  virtual ~Mechanism() = default;

  // For people: "redefine shop::Price(int)". Any number of times.
  virtual std::string name() const = 0;

  virtual MechanismTraits traits() const { return {}; }

  // Checks and allocates all that can be; changes nothing. An error is final:
  // this update does not fit this program. What is in the way for now, and
  // remarks, are appended to `forecast`. Called again before each Apply() of
  // the update: the program has gone on meanwhile.
  virtual absl::Status Prepare(UpdateForecast& forecast) {
    static_cast<void>(forecast);
    return absl::OkStatus();
  }

  // Before each attempt. What threads unwind (UnwindsUpTo()) is not looked at.
  // `thorough` from the second attempt on: what is costly to look up, and was
  // taken for active for want of it, is looked up now.
  virtual absl::StatusOr<QuiescentCode> MustBeQuiescent(bool thorough) {
    static_cast<void>(thorough);
    return QuiescentCode();
  }

  // Why Undo() on request is impossible, known beforehand.
  virtual absl::Status CanUndo() const { return absl::OkStatus(); }

  // What Undo() on request would lose of what the program has done since
  // Apply(), a sentence each: "what the new table has learnt". Asked before it
  // is applied as well, to be shown by `check`.
  virtual std::vector<std::string> LostByUndo() const { return {}; }

  // Of plans: what makes the change quick, from before threads are stopped for
  // the first time until the last time is over, whatever came of it. An error
  // gives the update up; EndAttempts() follows nevertheless.
  virtual absl::Status BeginAttempts() { return absl::OkStatus(); }
  virtual void EndAttempts() {}

  // What is best done right before, as making room that depends on the threads
  // there are. An error gives the update up; AfterStop() follows nevertheless.
  virtual absl::Status BeforeStop() { return absl::OkStatus(); }

  // Whether Apply() or Undo() would be done now. Not yet: the threads go on,
  // and it is asked again later. Failed: the update is given up. A mechanism
  // that leaves this as it is finds out when it is applied, and those before it
  // are rolled back.
  virtual Attempt Ready(const StoppedWorld& world, Direction direction) {
    static_cast<void>(world);
    static_cast<void>(direction);
    return Attempt::Done();
  }

  // After Ready() was done: up to which address of its own stack the mechanism
  // makes this thread unwind when it goes on, without an undo: from
  // StoppedWorld::kAllCounts, nothing, to kNothingCounts, all of it.
  virtual std::uintptr_t UnwindsUpTo(const ThreadRef& thread) const {
    static_cast<void>(thread);
    return StoppedWorld::kAllCounts;
  }

  // What a point must allow for this thread to stand there when the change is
  // made (docs/loop_update_points.md: points in loops). With threads held:
  // takes no lock, and allocates nothing. kMemory is for all that looks at the
  // program's memory, or changes it.
  virtual PointAllows NeedsOf(const ThreadRef& thread) const noexcept {
    static_cast<void>(thread);
    return PointAllows::kMemory;
  }

  // All or nothing. Undo() is on request: it follows an Apply() that was done
  // at an earlier stop. What takes long tells `world.conversion_watch()`.
  virtual Attempt Apply(const StoppedWorld& world) = 0;
  virtual Attempt Undo(const StoppedWorld& world) = 0;

  // Takes back the Apply(), or the Undo(), that was done at this stop: nobody
  // has run since. A mechanism that leaves this as it is does what it would do
  // on request. Unimplemented of an Apply(): what that did stays in effect, and
  // the update's error says so.
  virtual Attempt RollBack(const StoppedWorld& world, Direction direction) {
    return direction == Direction::kApply ? Undo(world) : Apply(world);
  }

  // When the threads have gone on.
  virtual void AfterStop(AttemptResult result) { static_cast<void>(result); }

  // What the latest "not yet" waited for; empty: its reason says it all.
  virtual std::vector<Blocker> Blockers() const { return {}; }

  // Threads that were started and run because it is applied.
  virtual std::vector<ThreadRef> StartedThreads() const { return {}; }

  // Objects so far, and all that are to be converted before it is applied;
  // whether some are converted in the background. At any time, by any thread.
  struct Progress {
    std::size_t converted = 0;
    std::size_t total = 0;
    bool is_converting = false;
  };
  virtual Progress progress() const noexcept { return {}; }
};

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_MECHANISM_H_
