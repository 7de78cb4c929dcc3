// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Mechanisms that take effect together, and the attempts to let them: whoever
// applies mechanisms, by whatever schedule, does it by one of these. Internal
// to this package.
//
//   Transition transition(mechanisms);
//   INSTAR_RETURN_IF_ERROR(transition.Prepare(forecast));
//   while (true) {
//     Obstacles obstacles(kMost);
//     const Attempt attempt =
//         transition.Try(Direction::kApply, options, &retries, obstacles);
//     if (!attempt.is_not_yet()) break;
//     ... wait until retries.next(), or do something else ...
//   }
//
// An attempt finds out what must be on no stack, lets conversions in the
// background pause, stops the threads, asks the mechanisms whether they are
// ready, looks at the stacks, changes everything, rolls back if something
// fails, and lets the threads go on. What was in the way is in `obstacles`.
//
// Code of the update's author runs under a watch
// (updates/internal/watched_calls.h), if one has been started.
//
// Threads: one at a time, but for calls().watch().

#ifndef INSTAR_UPDATES_INTERNAL_TRANSITION_H_
#define INSTAR_UPDATES_INTERNAL_TRANSITION_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/linux/mapped_array.h"
#include "code/symbols/function.h"
#include "stack/function_set.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "updates/internal/watched_calls.h"
#include "updates/mechanisms/internal/code_version.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/retries.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace updates_internal {

class Transition {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Transition(std::vector<std::shared_ptr<Mechanism>> mechanisms);
  Transition(const Transition&) = delete;
  Transition& operator=(const Transition&) = delete;

  // --- The watch over code of the author.

  struct WatchOptions : WatchedCalls::Options {
    // Only questions will be asked.
    bool for_questions = false;
    // Other code of the author is called, too.
    bool in_any_case = false;
  };
  // If there is such code. ResourceExhausted if no thread can be started.
  absl::Status StartWatch(WatchOptions options);
  WatchedCalls& calls() { return calls_; }
  const WatchedCalls& calls() const { return calls_; }

  // --- While threads run.

  absl::Status Prepare(UpdateForecast& forecast);
  absl::Status CanUndo() const;
  // By mechanism: "transfer shop::prices: ...".
  std::vector<std::string> LostByUndo() const;
  std::vector<ThreadRef> StartedThreads() const;
  Mechanism::Progress progress() const;  // by any thread
  // Around all attempts that are to be quick (Mechanism::BeginAttempts()).
  absl::Status BeginAttempts();
  void EndAttempts();

  struct TryOptions {
    StopOptions stop;
    // It is not the first attempt: what is costly to look up is looked up now
    // (Mechanism).
    bool thorough = false;
    // Not for conversions in the background: another thread may be held by the
    // caller's.
    bool never_wait = false;
    std::function<bool()> is_cancelled;  // null: never
    std::function<void()> when_stopped;  // takes no lock; null: nothing
  };
  // `retries` may be null: the limit is that of the options then. Not yet says
  // no reason: `obstacles` do. kCheck is done if nothing is in the way.
  Attempt Try(Direction direction, TryOptions options, Retries* retries,
              Obstacles& obstacles);

  // Whether what the latest attempt looked for is quiescent, on these stacks.
  bool IsQuiescentNow(StopOptions stop, Obstacles& obstacles) const;

  // Where threads are that run on: what they are inside of is seen when it is
  // too late.
  const std::vector<std::shared_ptr<const WatchedFunctions>>& watched() const {
    return watched_;
  }

  // What Try() has done could not be rolled back.
  bool is_broken() const { return is_broken_; }
  bool is_applied() const {
    return is_applied_.load(std::memory_order_acquire);
  }
  // For how long all attempts together have kept other threads stopped.
  std::chrono::nanoseconds time_stopped() const { return time_stopped_; }
  // Whether there is one mechanism, and new calls of what must be quiescent can
  // be made to wait; of which functions, and what has been looked up for them.
  bool can_be_forced() const { return can_be_forced_; }
  const std::vector<Function>& functions() const { return forced().functions; }
  const std::shared_ptr<const WatchedFunctions>& watched_functions() const {
    return forced().watched;
  }
  // How long the latest change held threads.
  std::vector<std::chrono::nanoseconds> HoldTimes() const;
  // How many of those it stopped by a signal.
  std::size_t stopped_by_signal() const;
  // Until all stood still (StoppedWorld::stopping_for()).
  std::chrono::nanoseconds stopping_for() const;

 private:
  struct Part {
    std::shared_ptr<Mechanism> mechanism;
    MechanismTraits traits;
    std::string name;  // since BeforeStop()

    bool RunsAuthors() const;  // in the change
    bool IsAuthors() const;    // also when it is asked
  };
  enum class Verdict { kDone, kNotYet, kFailed };
  // What went wrong while threads stood still. It is told afterwards.
  struct Failure {
    const Part* part = nullptr;
    Attempt attempt = Attempt::Done();
    // Those before it (after it, of an undo), and why what they had done could
    // not be rolled back.
    std::vector<std::pair<const Part*, Attempt>> not_rolled_back;
  };

  // With the name of the mechanism before it.
  static absl::Status In(const std::string& name, const absl::Status& status);
  absl::Status FindCode(bool thorough);
  PointAllows NeedsOf(const ThreadRef& thread) const;  // the most of all parts
  std::vector<const WatchedFunctions*> AllWatched() const;
  absl::Status BeforeStop();

  // While threads stand still.
  Verdict AskAll(Direction direction, const StoppedWorld& world);
  std::uintptr_t CountsFrom(const ThreadRef& thread) const;
  Verdict ChangeAll(Direction direction, const StoppedWorld& world);
  Attempt Change(const Part& part, Direction direction,
                 const StoppedWorld& world);
  Attempt RollBack(const Part& part, Direction direction,
                   const StoppedWorld& world);
  absl::Status Call(const Part& part,
                    absl::FunctionRef<absl::Status()> function);
  Attempt Call(const Part& part, absl::FunctionRef<Attempt()> function);
  bool threads_were_released() const {
    return calls_.own() != nullptr && calls_.own()->has_released();
  }

  // When they run again.
  void AfterStop(AttemptResult result);
  void Explain(Obstacles& obstacles) const;
  absl::Status Explain(Direction direction) const;
  absl::Status CallUnheld(const Part& part, const char* what,
                          absl::FunctionRef<absl::Status()> function) const;
  absl::Status TellUnheld(const Part& part, const char* what,
                          absl::FunctionRef<void()> function) const;

  std::vector<Part> parts_;

  // Functions that must be quiescent, and what was looked up for them.
  struct Functions {
    // Unless that is right still.
    absl::Status Watch(std::vector<Function> functions,
                       bool ignore_unknown_copies);

    std::vector<Function> functions;
    std::optional<CodeVersion> version;
    std::shared_ptr<const WatchedFunctions> watched;
  };
  // Of MustBeQuiescent(): those of which unknown copies are ignored, and the
  // others.
  Functions lenient_, strict_;
  bool can_be_forced_ = false;
  const Functions& forced() const {
    return lenient_.functions.empty() ? strict_ : lenient_;
  }
  // Both, and the sets of all.
  std::vector<std::shared_ptr<const WatchedFunctions>> watched_;

  StoppedWorld* world_ = nullptr;  // while threads stand still
  // All are at a point that the program has named, which is what it is for.
  bool locks_are_free_ = false;
  // The threads that UnwindsUpTo() has named.
  struct Unwinding {
    const threads_internal::ThreadRecord* thread;
    std::uintptr_t up_to;  // StoppedWorld::CountsFrom
  };
  MappedArray<Unwinding> unwinding_;
  std::unique_ptr<StoppedWorld> last_world_;
  std::vector<std::pair<const Part*, Attempt>> not_yet_;
  // Made anew before each attempt: it keeps no memory that something moved into
  // it would get, and free.
  std::optional<Failure> failure_;
  std::chrono::nanoseconds time_stopped_{0};
  bool is_broken_ = false;
  // Release and acquire: whoever sees it sees the change.
  std::atomic<bool> is_applied_{false};
  WatchedCalls calls_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_TRANSITION_H_
