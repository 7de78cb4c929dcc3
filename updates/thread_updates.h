// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An update as PyMoult (HotSWUP'13), section 2, has it: each thread starts its
// own update function at its own time. Figures 5 and 6 of the paper:
//
//   absl::Status AddRatings(instar::ThreadUpdates& threads) {
//     threads.Start(ConvertLazily<Product, ProductV2>());
//     threads.Add("site_manager", ConvertEagerly<Site, SiteV2>());
//     threads.Then();
//     threads.Add("socket", Redefine(&DoCommand, &NewDoCommand));
//     return absl::OkStatus();
//   }
//   absl::Status ShowRatings(instar::ThreadUpdates& threads) {
//     threads.Reboot("site_manager", &NewMain, &SiteManagerMain);
//     return absl::OkStatus();
//   }
//
//   ThreadUpdates threads("ratings");
//   INSTAR_RETURN_IF_ERROR(AddRatings(threads));
//   std::unique_ptr<Update> update = MakeUpdate(std::move(threads));
//   INSTAR_RETURN_IF_ERROR(update->Apply({}));        // see updates/update.h
//
// What holds a thread here holds no other (unless an update function does that
// by itself), and the program runs in a mixture of versions until all are done:
// "all concurrency matters must be handled by the update functions" (section
// 2). Then() orders what must not come first. Where everything must change at
// one moment, use a plan (updates/update_plan.h).
//
// Apply() prepares what can be prepared, then, stage by stage (Then() begins
// another):
//   1. What was given to Start() is done on the thread that calls
//      Apply(), in the order given.
//   2. The update functions of all threads of the stage are triggered. Each is
//      tried at its thread's update points until it is done. Those of a thread
//      are tried in the order in which they were set.
//   3. The next stage begins when all are done.
// Every controlled thread of a name gets its update function, one call at a
// time; if there is none of that name now, the update waits for one. A name
// that no thread has had is NotFound, unless it is declared
// (threads/known_names.h).
//
// ApplyOptions::threads, which a manager of registered threads gives, holds of
// all of it: other threads of a name are not updated, and changes neither stop
// nor look at them (Change::AskOnly() of updates/change.h).
//
// If one fails, or the time is up, or Cancel() is called, those that are not
// done are withdrawn, and those that are done are undone, stages backwards: the
// program is as before. What has no undo, or whose undo fails or takes longer
// than the update's own time limit (10 s at least), stays in effect, and the
// error is DataLoss and names it. Apply() may be called again then, and does
// the rest; Undo() likewise. If the code of a part has not returned, or was
// given up half way, it is not known what is in effect, and the update is
// broken (updates/update.h).
//
// Undo() is Apply() with the undo of each, and the stages backwards. It runs in
// the threads in which the update functions ran; if all of those have ended, in
// those that have that name now. CanUndo() is an error if one is
// missing, or a mechanism says that there is none.
//
// A thread that waits in a blocking region comes to its update function when
// its call returns; with UpdateOptions::interrupt_blocking_calls at once
// (RebootUpdateOptions() of updates/reboot_thread.h; a reboot does so anyway).
//
// Rehearse() asks each thread that is named whether its part could be done now:
// what earlier stages would change is not changed then. Of an update function
// it is known only whether its thread comes to an update point.
//
// Progress() names each thread that is not done, with what its update function
// answered the last time, or with where the thread is. Hold times are those of
// the calls that were done, and of each thread that a change has stopped for
// itself; what an update function of your own does to other threads is not in
// them, nor is the unwinding of a thread that is rebooted.
//
// Lifetime: update functions are kept, and called again if the update is
// applied again after an Undo(). Threads: a ThreadUpdates belongs to one
// thread. Apply() and Undo() are not called on a thread that the update names.

#ifndef INSTAR_UPDATES_THREAD_UPDATES_H_
#define INSTAR_UPDATES_THREAD_UPDATES_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "threads/attempt.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/reboot.h"
#include "updates/mechanisms/thread_main.h"
#include "updates/update.h"

namespace instar {
class ThreadUpdates {
 public:
  explicit ThreadUpdates(std::string name);
  ThreadUpdates(ThreadUpdates&&) noexcept;
  ThreadUpdates& operator=(ThreadUpdates&&) noexcept;
  ~ThreadUpdates();

  const std::string& name() const;

  // In every controlled thread of this name, at its own update point: any
  // mechanism (updates/mechanisms/mechanism.h), with the options of a change of
  // its own (updates/change.h).
  void Add(std::string thread_name, std::shared_ptr<Mechanism> mechanism,
           ChangeOptions options = {}, UpdateOptions where = {});
  // An update function; without `undo` it cannot be undone.
  void SetUpdateFunction(std::string thread_name, UpdateFunction function,
                         UpdateOptions options = {});
  void SetUpdateFunction(std::string thread_name, UpdateFunction function,
                         UpdateFunction undo, UpdateOptions options = {});

  // As instar::Reboot() (updates/mechanisms/reboot.h), in each of them.
  void Reboot(const std::string& thread_name, ThreadMain new_main,
              ThreadMain main_when_undone = nullptr) {
    Add(thread_name, instar::Reboot(thread_name, std::move(new_main),
                                    std::move(main_when_undone)));
  }

  // What needs no thread of the program, on the thread that applies the update:
  // a lazy conversion, say, or a redefinition with a look at all threads.
  void Start(std::shared_ptr<Mechanism> mechanism, ChangeOptions options = {});

  // What follows begins when everything before it is done.
  void Then();

  // Asked before the first thread is, again and again until it is done. Failed:
  // the update is dropped, with FailedPrecondition.
  void When(std::function<Attempt()> requirement);

 private:
  friend std::unique_ptr<Update> MakeUpdate(ThreadUpdates threads);
  struct State;

  // `change` and `undo` may be null.
  void SetPart(std::string thread_name, std::string what,
               std::shared_ptr<Change> change, UpdateFunction function,
               UpdateFunction undo, UpdateOptions options);

  std::unique_ptr<State> state_;
};

std::unique_ptr<Update> MakeUpdate(ThreadUpdates threads);

}  // namespace instar

#endif  // INSTAR_UPDATES_THREAD_UPDATES_H_
