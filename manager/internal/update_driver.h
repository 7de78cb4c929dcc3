// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Drives updates to their end, one at a time, in the order in which they were
// asked for. Internal to this package; users see the manager.
//
// A job is an update to be applied, the undoing of one, or a check. Its life:
//
//   state   | the driver comes to it | Cancel()  | its time is up | Stop()
//   --------+------------------------+-----------+----------------+----------
//   waiting | working                | finished  | finished       | finished
//   working | waiting or finished    | asked to give up, at its next look
//
// It waits for its turn, for the updates that it requires, or for conditions of
// its own; meanwhile those behind it are not kept. It is worked on while its
// module is loaded, and while its update waits for a moment when it is safe:
// then those behind it wait.
//
// Code of an update's author may never return. Its job is answered all the
// same, when its time is up or it has been cancelled: if the update says that
// its code still runs, or after kOverdue, where that runs before or after the
// update is at it. Where nothing had been changed, nothing is then. It stays on
// the list, and nothing else begins. Destructors are such code: they run on the
// worker alone. Stop() leaves such a worker to itself: it keeps the driver, its
// journal and its list of threads, until that code returns.
//
// Threads. The driver has two of its own. One does the work. The other one
// ends what waits for too long, and reminds an update of having been cancelled:
// Update::Cancel() does nothing if it comes just before Apply(). While updates
// are applied it also looks, every second, whether somebody has set a probe on
// a redirected function.
//
// Locks: `lock_` guards the jobs and what is applied; it is held while an
// Update is asked for its progress, and not while anything else of a module
// runs. The worker takes it never while it holds threads, which may own it.
// What a step's author wrote is called by the worker alone: Applied() and
// StartedThreads() answer from what the worker has noted at the end of a job.

#ifndef INSTAR_MANAGER_INTERNAL_UPDATE_DRIVER_H_
#define INSTAR_MANAGER_INTERNAL_UPDATE_DRIVER_H_

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/control/control_service.h"
#include "manager/internal/journal.h"
#include "manager/internal/program_remarks.h"
#include "manager/internal/system_log.h"
#include "threads/thread_ref.h"
#include "updates/internal/late_births.h"
#include "updates/update.h"

namespace instar {
namespace manager_internal {

class UpdateDriver : public std::enable_shared_from_this<UpdateDriver> {
 public:
  template <typename Report>
  using Done = ControlService::Done<Report>;

  // How long code of an update's author may go on, before anything is changed,
  // when its time is up or it has been cancelled.
  static constexpr std::chrono::seconds kOverdue{3};

  // `threads`: whom updates may hold, beside the threads that they start; null:
  // all controlled threads. What it refers to lives as long as itself. What
  // comes of each load and undo is written to `system_log`, too, of a program
  // of this name. Start() comes next, Stop() last.
  static std::shared_ptr<UpdateDriver> Make(
      std::shared_ptr<Journal> journal,
      std::function<std::vector<ThreadRef>()> threads,
      SystemLog system_log = SystemLog(), std::string program = "");
  ~UpdateDriver();
  UpdateDriver(const UpdateDriver&) = delete;
  UpdateDriver& operator=(const UpdateDriver&) = delete;

  // Before Start(): how the paths of modules' files begin, while they are
  // loaded (manager/module/kept_file.h); asked for each.
  void KeepModulesAt(std::function<std::string()> path_begin) {
    keep_modules_at_ = std::move(path_begin);
  }

  // Before Start(), in a child of fork(): what the parent's driver, of which
  // this is the child's copy, had applied is this one's to undo. The copy is
  // not used any more, nor destroyed. What was being worked on at the fork is
  // not known here; a remark says so.
  void Adopt(UpdateDriver& copy_of_parents);

  // Starts the driver's threads, once. ResourceExhausted if the system gives
  // none; the driver is as good as stopped then.
  absl::Status Start();

  // Gives up what is pending; what is asked for from now on is Cancelled. What
  // is applied stays in effect. Waits for its threads, but not for code of an
  // update's author that does not return (see above). By one thread; does
  // nothing the second time.
  void Stop();

  // As in ControlService.
  void Load(ModuleSource module, std::chrono::nanoseconds timeout,
            const Requester& by, Done<UpdateReport> done);
  void Undo(std::string update, std::chrono::nanoseconds timeout,
            const Requester& by, Done<UpdateReport> done);
  void Unload(std::string update, std::chrono::nanoseconds longest_hold,
              const Requester& by, Done<UnloadReport> done);
  void Check(ModuleSource module, bool without_stacks, Done<CheckReport> done);
  absl::StatusOr<std::vector<std::string>> Cancel(const std::string& update);

  // An update that does not come from a module.
  void Apply(std::unique_ptr<Update> update, std::chrono::nanoseconds timeout,
             Done<UpdateReport> done);

  std::vector<AppliedReport> Applied() const;
  std::vector<PendingReport> Pending() const;
  // Threads that applied updates have started.
  std::vector<ThreadRef> StartedThreads() const;
  // What is to be said of the program itself
  // (manager/internal/program_remarks.h), and what applied updates leave as it
  // was.
  std::vector<std::string> Remarks() const;
  // Whether code can be changed at all.
  absl::Status Patching() { return remarks_.Patching(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Job;
  struct AppliedUpdate;
  UpdateDriver(std::shared_ptr<Journal> journal,
               std::function<std::vector<ThreadRef>()> threads,
               SystemLog system_log, std::string program);

  // Whether a job has come to its end.
  enum class Step { kWaits, kFinished };

  void Add(std::shared_ptr<Job> job);
  void Work();
  void WorkUntilEnd();
  void Watch();
  // What code of the update's author has been given up.
  struct Stuck {
    absl::Status status;
    std::string outcome;  // what came of the update; empty: `status` says it
  };
  // Under the lock; OK if there is no such code.
  Stuck FindStuck(const Job& job, Clock::time_point now) const;
  // Answers a job, the worker of which does not.
  void AnswerStuck(Job& job, const std::string& name, Stuck stuck);
  // Under the lock: the worker's job has been answered, and is not about to
  // end.
  bool IsStuck() const;

  // On the worker, without the lock.
  absl::StatusOr<Step> WorkOn(Job& job);
  absl::StatusOr<Step> WorkOnLoad(Job& job);
  absl::StatusOr<Step> WorkOnUndo(Job& job);
  absl::StatusOr<CheckReport> CheckNow(const Job& job);
  static absl::StatusOr<ModuleFile> ReadModule(const Job& job);
  absl::Status FindConflict(const std::string& update) const;
  // The update that a module requires and that is not applied; empty: none.
  std::string FindMissing(const ModuleFile& file) const;
  // From here on the job changes something; an error if it has been given up.
  absl::Status BeginChange(Job& job);
  // From here on nothing of the job is left but what its author may still do.
  void EndChange(Job& job, std::string outcome, const absl::Status& error,
                 const char* doing);
  // Destroys what the job has loaded, unless it is applied.
  void LetGo(Job& job, const absl::Status& status);
  void LetGoOfRemains(std::unique_lock<std::mutex>& lock);
  // Notes what Applied() and StartedThreads() answer about it.
  void TakeNote(AppliedUpdate& applied);
  // Whom updates may hold.
  std::function<std::vector<ThreadRef>()> HeldThreads() const;
  ApplyOptions OptionsFor(Clock::time_point until) const;
  void ConvertLateBirths();

  Step Wait(Job& job, std::string waits_for);
  void RecordUnload(const Job& job, const absl::Status& status);
  // What came of it, for the journal and the system's log.
  void Record(const Job& job, const std::string& name,
              const absl::Status& status, absl::string_view detail);
  // Writes the journal, calls `done`. What the job has loaded is the worker's
  // to let go of, if it is not gone.
  void Finish(const std::shared_ptr<Job>& job, const absl::Status& status);

  const std::shared_ptr<Journal> journal_;
  const std::function<std::vector<ThreadRef>()> threads_;
  std::function<std::string()> keep_modules_at_;  // may be null
  const SystemLog system_log_;
  const std::string program_;

  mutable std::mutex lock_;
  std::condition_variable changed_;          // for the worker
  std::condition_variable watched_;          // for the watcher
  std::condition_variable stopped_;          // for Stop()
  std::list<std::shared_ptr<Job>> jobs_;     // in order
  std::shared_ptr<Job> working_;             // one of jobs_, or of what remains
  std::list<std::shared_ptr<Job>> remains_;  // answered, to be let go of
  // Changed by the worker alone, which reads it without the lock.
  std::vector<std::unique_ptr<AppliedUpdate>> applied_;
  bool is_ending_ = false;
  bool has_worker_ended_ = true;
  bool is_converting_ = false;  // the worker is in ConvertLateBirths()
  pid_t worker_tid_ = 0;

  ProgramRemarks remarks_;
  LateBirths late_births_;  // of the worker
  std::thread watcher_;
  std::thread worker_;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_UPDATE_DRIVER_H_
