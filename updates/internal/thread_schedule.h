// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What MakeUpdate() makes of update functions for each thread
// (updates/thread_updates.h, which says what Apply() and Undo() do). Internal
// to this package.
//
// Locks: `lock_` guards what Progress() shows besides `run_`; nothing is called
// while it is held but functions of UpdateRequest, which take no lock of the
// program.

#ifndef INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_H_
#define INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/internal/author_watch.h"
#include "updates/update.h"
#include "updates/update_run.h"

namespace instar {
namespace updates_internal {

class ThreadSchedule final : public Update {
 public:
  // An update function, shared by the threads that it was given to and by
  // requests that outlive the update.
  struct Shared {
    explicit Shared(UpdateFunction f) : function(std::move(f)) {}
    std::mutex lock;  // of whoever calls it; never waited for
    UpdateFunction function;
  };

  // What is done in the threads of a name or, if that is empty, on the thread
  // that applies the update.
  struct Part {
    std::string thread_name;
    std::string what;
    int stage = 0;
    // In threads it may be null, and so may `undo`.
    std::shared_ptr<Change> change;
    // In threads.
    std::shared_ptr<Shared> function, undo;
    UpdateOptions options;

    // Where it is in effect: in which threads, or whether it was started.
    std::vector<ThreadRef> done_in;
    bool is_started = false;
    // What the latest Apply() or Undo() has changed of that.
    std::vector<ThreadRef> changed_in;
    bool is_changed_here = false;

    bool is_started_here() const { return thread_name.empty(); }
    std::string name() const;
  };

  ThreadSchedule(std::string name, std::vector<Part> parts, int stages,
                 std::vector<std::function<Attempt()>> requirements);
  ~ThreadSchedule() override;

  const std::string& name() const override { return run_.name(); }
  absl::StatusOr<UpdateForecast> Prepare() override;
  absl::StatusOr<std::vector<Blocker>> Rehearse(
      const ApplyOptions& options) override;
  Attempt Requirements() override;
  absl::Status Apply(const ApplyOptions& options) override;
  absl::Status CanUndo() const override;
  std::vector<std::string> LostByUndo() const override;
  absl::Status Undo(const ApplyOptions& options) override;
  void Cancel() override { run_.Cancel(); }
  UpdateProgress Progress() const override;
  HoldTimes hold_times() const override;
  std::vector<ThreadRef> StartedThreads() const override;

 private:
  using Clock = UpdateRun::Clock;
  struct Pending;
  // Whom ApplyOptions::threads lets be asked, and whom the update has started.
  // Shared with update functions that outlive the call.
  class Asked {
   public:
    explicit Asked(std::function<std::vector<ThreadRef>()> threads)
        : threads_(std::move(threads)) {}

    std::vector<ThreadRef> All();
    void AddStarted(const std::vector<ThreadRef>& threads);
    // From now on those of the latest All().
    void End();

   private:
    std::mutex lock_;
    std::function<std::vector<ThreadRef>()> threads_;  // null: over
    std::vector<ThreadRef> latest_, started_;
  };
  // One way through the stages, or what takes it back.
  struct Way {
    Direction direction;
    Clock::time_point until;
    std::shared_ptr<Asked> asked;  // null: all may be
    // Goes on where it can be gone on, whatever fails, and is not cancelled.
    bool takes_back = false;
    std::vector<std::string> failures;  // of what takes back
  };

  // Of Apply() and Undo(), over what the author wrote and they call.
  absl::Status StartWatch(Clock::time_point until);
  void EndWatch();
  // CallAuthor(), with that watch. An error of its own: it has been given up.
  absl::Status Call(const std::string& what,
                    absl::FunctionRef<absl::Status()> function) const;
  absl::Status PrepareParts(UpdateForecast& forecast);
  absl::Status AskCanUndo() const;
  // It is not known what is in effect, and will not be.
  bool IsBroken() const;
  // What would make this thread's update function wait; what it decides itself
  // is a remark.
  absl::Status CheckInThread(const Part& part, const ThreadRef& thread,
                             const ApplyOptions& options,
                             std::vector<Blocker>& blockers);
  // Lets all changes keep to it; null if the options let all be asked.
  std::shared_ptr<Asked> AskOnly(const ApplyOptions& options);
  absl::Status AwaitRequirements(const Way& way);
  absl::Status Run(Direction direction, const ApplyOptions& options,
                   std::shared_ptr<Asked> asked);
  void NoteHoldTimes();  // of the way that is done
  absl::Status RunStage(Way& way, int stage);
  absl::Status RunHere(Way& way, Part& part);
  absl::Status RunInThreads(Way& way, int stage);
  // Waits for threads to be asked.
  absl::StatusOr<std::vector<Pending>> FindThreads(Way& way, int stage);
  absl::StatusOr<std::vector<ThreadRef>> ThreadsOf(const Way& way,
                                                   const Part& part) const;
  // Until all are done, one has failed, the time is up, or Cancel().
  absl::Status AwaitAll(const Way& way);
  // Remembers which of them are done, and forgets the requests.
  void ForgetRequests(Way& way);

  absl::Status Guard(const Way& way) const;
  // Waits a little. An error if there is no time left, or on Cancel().
  absl::Status Pause(const Way& way, std::chrono::nanoseconds duration);
  void SetObstacles(const std::vector<std::string>& obstacles);

  absl::Status Begin(UpdatePhase required);

  UpdateRun run_;  // whose attempts and blockers are those but for pending_
  const int stages_;
  const std::vector<std::function<Attempt()>> requirements_;

  // Of the thread that calls Prepare(), Apply() and Undo(), but for which there
  // are, and their changes: those stay as they are.
  std::vector<Part> parts_;
  std::vector<std::chrono::nanoseconds> held_;
  bool has_unfinished_ = false;  // what may still take effect
  // Something is changed, or may be, since the latest Begin(). Relaxed: it is
  // read of a call that was given up, which was begun after it was written, and
  // AuthorWatch has ordered both (calls_since_, and the lock of running()).
  std::atomic<bool> has_begun_{false};

  mutable std::mutex lock_;  // of the rest
  // While Apply() or Undo() runs. Set by the thread that calls them, which
  // reads it without the lock.
  std::shared_ptr<AuthorWatch> watch_;
  std::vector<Pending> pending_;
  HoldTimes hold_times_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_H_
