// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What MakeUpdate() makes of update functions for each thread
// (updates/thread_updates.h, which says what Apply() and Undo() do). Internal
// to this package.
//
// Locks: `lock_` guards what Progress() shows besides run(); nothing is called
// while it is held but functions of UpdateRequest, which take no lock of the
// program.

#ifndef INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_H_
#define INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_H_

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/internal/schedule.h"
#include "updates/internal/watched_calls.h"
#include "updates/update.h"

namespace instar {
namespace updates_internal {

class ThreadSchedule final : public Schedule {
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

  std::vector<std::string> LostByUndo() const override;
  HoldTimes hold_times() const override;
  std::vector<ThreadRef> StartedThreads() const override;

 private:
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
    // Goes on where it can be gone on, whatever fails, and is not cancelled.
    bool takes_back = false;
    std::vector<std::string> failures;  // of what takes back
  };

  void BeginAsking(const ApplyOptions& options) override;
  void EndAsking() override;
  absl::Status StartWatch(WatchedCalls::Options watch, const ApplyOptions&,
                          bool /*for_questions*/) override {
    return calls_.Start(std::move(watch));
  }
  void EndWatch() override { calls_.End(); }
  absl::Status PrepareParts(UpdateForecast& forecast) override;
  absl::Status AskCanUndo() const override;
  absl::Status Look(const ApplyOptions& options, const UpdateForecast& forecast,
                    std::vector<Blocker>& blockers) override;
  absl::Status Run(Direction direction, const ApplyOptions& options,
                   Clock::time_point until) override;
  bool IsBroken() const override;
  const WatchedCalls& calls() const override { return calls_; }
  void AddTo(UpdateProgress& progress) const override;

  // What would make this thread's update function wait; what it decides itself
  // is a remark.
  absl::Status CheckInThread(const Part& part, const ThreadRef& thread,
                             const ApplyOptions& options,
                             std::vector<Blocker>& blockers);
  absl::Status AwaitRequirements(const Way& way);
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

  // The attempts and blockers of run() are those but for pending_.
  const int stages_;

  // Of the thread that calls Prepare(), Apply() and Undo(), but for which there
  // are, and their changes: those stay as they are.
  std::vector<Part> parts_;
  std::vector<std::chrono::nanoseconds> held_;
  bool has_unfinished_ = false;   // what may still take effect
  std::shared_ptr<Asked> asked_;  // null: all may be
  WatchedCalls calls_;

  mutable std::mutex lock_;  // of the rest
  // While Apply() or Undo() runs. Set by the thread that calls them, which
  // reads it without the lock.
  std::vector<Pending> pending_;
  HoldTimes hold_times_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_THREAD_SCHEDULE_H_
