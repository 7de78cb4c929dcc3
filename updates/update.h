// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An update of a running program as whoever drives it sees it: the manager
// (manager/manager.h), a test, or the program itself. What is in it was said
// elsewhere: in a plan (updates/update_plan.h), in what each thread does
// (updates/thread_updates.h), or by a schedule of one's own
// (updates/update_run.h).
//
//   std::unique_ptr<Update> update = MakeUpdate(std::move(plan));
//   INSTAR_ASSIGN_OR_RETURN(UpdateForecast forecast, update->Prepare());
//   ApplyOptions options;
//   options.timeout = std::chrono::seconds(5);
//   INSTAR_RETURN_IF_ERROR(update->Apply(options));
//   ...
//   INSTAR_RETURN_IF_ERROR(update->CanUndo());
//   INSTAR_RETURN_IF_ERROR(update->Undo({}));
//
// States; "error" answers FailedPrecondition and changes nothing:
//
//   state    | Prepare(), Rehearse() | Apply()            | Undo()
//   ---------+-----------------------+--------------------+-------------------
//   new      | prepared / new        | as prepared        | error
//   prepared | prepared              | applied / prepared | error
//   applied  | error                 | error              | prepared / applied
//   broken   | error                 | error              | error
// After the slash: on an error the program is as it was before the call, but
// for what hooks did that nothing undoes, which the error names. Where that is
// not so, the error is DataLoss, and says which of two it is:
//   - The state of the program is unknown: a rollback failed, or code of the
//     author was given up that may still run. The update is broken, for good.
//   - Of an update whose parts take effect one by one
//     (updates/thread_updates.h): these parts stay in effect. The state is that
//     after the slash, and the same call again does the rest.
//
// Threads: name(), Cancel() and Progress() by any, at any time. All others by
// one thread at a time, which is not among those that are held: they call what
// the authors of mechanisms wrote, which need not expect another thread beside
// it.
//
// Lifetime: an update that is destroyed while applied stays in effect; it can
// no longer be taken back.

#ifndef INSTAR_UPDATES_UPDATE_H_
#define INSTAR_UPDATES_UPDATE_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "updates/mechanisms/update_forecast.h"
#include "updates/quiescence/blocker.h"

namespace instar {

enum class UpdatePhase {
  kNew,  // or put back after a failure
  kPrepared,
  kWaiting,   // Apply() or Undo() waits for a moment when it is safe
  kChanging,  // Apply() or Undo() holds the threads
  kApplied,
  // It failed, and what it had done could not be rolled back; or code of its
  // author did not return in time, and may still run.
  kBroken,
};

struct UpdateProgress {
  UpdatePhase phase = UpdatePhase::kNew;
  int attempts = 0;                    // of the latest Apply() or Undo()
  std::chrono::nanoseconds elapsed{};  // since that began
  std::vector<Blocker> blockers;       // at the latest attempt
  // Of the conversions; `total` is 0 if there are none.
  std::size_t objects_converted = 0;
  std::size_t objects_total = 0;
  // It is applied, and conversions go on in the background.
  bool is_converting = false;
  // Of kBroken: code of the author does not return, nothing was changed before,
  // and nothing will be.
  bool is_unchanged = false;
};

// For how long threads were held by the latest Apply() or Undo() that
// succeeded. What holds a thread several times, as several update functions do,
// is counted each time.
struct HoldTimes {
  int threads = 0;
  std::chrono::nanoseconds median{};
  std::chrono::nanoseconds maximum{};
  // Of `threads`, those that nobody had registered, and that were stopped by a
  // signal; the others were held at update points, or in blocking regions.
  int by_signal = 0;
  // Of a plan: how long it took until all of them stood still, which is what a
  // stop takes in which nothing is done. Zero: it is not known.
  std::chrono::nanoseconds stopping{};
};

struct ApplyOptions {
  // Afterwards DeadlineExceeded, which names the blockers; all is as before.
  std::chrono::nanoseconds timeout = std::chrono::seconds(30);
  // Which threads are asked for, and no others; null: all controlled threads,
  // and what the update says of the others of the process. Called again for
  // each attempt.
  std::function<std::vector<ThreadRef>()> threads;
  // Of Rehearse(): no thread is stopped. What is active on a stack, and who
  // comes to no update point, is not known then.
  bool without_stacks = false;
  // Of Rehearse() and Apply(): what is in nobody's way, and should be known, is
  // appended: threads that are not asked for, and are in a function that is
  // redefined, or could not be looked at. Of Apply() the warnings of the
  // forecast as well.
  std::vector<std::string>* remarks = nullptr;
  // Of Apply(): what let the change be quick is left as it is until Settle(),
  // so that whoever waits for the answer has it sooner. Calls of redefined
  // functions take some ns more until then.
  bool settle_later = false;
};

class Update {
 public:
  virtual ~Update() = default;

  virtual const std::string& name() const = 0;

  // Checks and allocates everything that can be checked and allocated while
  // the program runs; changes nothing that it would notice. Errors are final:
  // this update does not fit this program. What is only in the way for now is
  // an obstacle.
  virtual absl::StatusOr<UpdateForecast> Prepare() = 0;

  // What would make Apply() wait now; nothing: it would have taken effect. A
  // moment later it may be otherwise. Prepares, and stops one thread after the
  // other, each once (twice where more has to be looked up), to look at its
  // stacks, which takes less than a millisecond; none waits for another. What
  // it does not come to within some seconds is said: threads that it has not
  // asked are in the answer, others that it could not look at in the remarks.
  // Errors: those of Prepare() and those at which Apply() would give up.
  // Unimplemented by a schedule that has nothing of the kind.
  virtual absl::StatusOr<std::vector<Blocker>> Rehearse(
      const ApplyOptions& options) {
    static_cast<void>(options);
    return absl::UnimplementedError(
        absl::StrCat("update '", name(), "' cannot be rehearsed"));
  }

  // Whether the update's own requirements are met now: done; not yet, with the
  // reasons; failed: they say "never" (FailedPrecondition). Holds nobody.
  virtual Attempt Requirements() { return Attempt::Done(); }

  // Waits for a moment when it is safe, and takes effect. Errors:
  //   DeadlineExceeded    no such moment came; the message names the blockers
  //   Cancelled           Cancel() was called
  //   FailedPrecondition  it has been applied; a requirement says "never"
  //   DataLoss            the program is not as it was before: see above
  //   any other           what a step or a hook answered
  virtual absl::Status Apply(const ApplyOptions& options) = 0;
  // After an Apply() with ApplyOptions::settle_later, by who called that.
  // Undo() and the destructor do it, too.
  virtual void Settle() {}

  // Whether Undo() is possible, or why it is not; changes nothing. What will be
  // possible is in the forecast of Prepare().
  virtual absl::Status CanUndo() const = 0;
  // What Undo() would lose of what the program has done since, a sentence each.
  // Also before it is applied.
  virtual std::vector<std::string> LostByUndo() const { return {}; }
  virtual absl::Status Undo(const ApplyOptions& options) = 0;

  // Makes the Apply() or Undo() that is running give up soon, unless it has
  // gone too far; does nothing if there is none. (A thread of the program that
  // the update has stopped cannot call it before it runs again. Those of the
  // manager are not stopped.)
  virtual void Cancel() = 0;

  virtual UpdateProgress Progress() const = 0;
  virtual HoldTimes hold_times() const { return {}; }
  // Threads that the update has started, while it is applied.
  virtual std::vector<ThreadRef> StartedThreads() const { return {}; }
};

}  // namespace instar

#endif  // INSTAR_UPDATES_UPDATE_H_
