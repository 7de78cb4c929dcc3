// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Code of an update's author that runs while threads are held must return. When
// it does not, because it waits for a lock that a held thread has, say, the
// program would stand still for ever. So somebody else releases the threads
// when the time is up, while that code still runs. What it and the steps before
// it have done stays as it is, half done: nobody may go on with the update.
//
// Where no threads are held, such code keeps nobody but whoever waits for the
// update. It is given up in the same way: others see that it still runs, and
// its answer is not used when it comes.
//
//   AuthorWatch watch(until, is_cancelled);
//   INSTAR_RETURN_IF_ERROR(watch.Start());        // while threads run
//   ...
//   if (!world.Stop(obstacles)) ...
//   status = watch.Call(world, "hook before the update", hook);
//   if (watch.has_released()) ...                 // the threads run again
//   ...
//   status = watch.Call("a requirement", ask);    // while threads run
//
// Internal to this package.
//
// Threads: all of it is called by one thread, but for running(). Each has one
// of its own meanwhile, which takes no lock but its own and those that a
// release takes. One such thread is kept, parked, for the next watch: to make
// it, to wait for it and to join it took a fifth of a small update. A child of
// fork() has none and makes its own.

#ifndef INSTAR_UPDATES_INTERNAL_AUTHOR_WATCH_H_
#define INSTAR_UPDATES_INTERNAL_AUTHOR_WATCH_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "heap/internal/conversion_watch.h"
#include "updates/internal/lock_owner.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace updates_internal {

class AuthorWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // What each call may take at least, also when the time is up or the update
  // has been cancelled; of a conversion, each object.
  static constexpr std::chrono::seconds kAtLeast{1};
  // The same of calls while threads run, which keep nobody.
  static constexpr std::chrono::seconds kAtLeastUnheld{3};

  // `at_least`: instead of kAtLeast.
  AuthorWatch(Clock::time_point until, std::function<bool()> is_cancelled,
              Clock::duration at_least = kAtLeast);
  // Also in a child of the process that started it, where nobody looks at it.
  ~AuthorWatch();
  AuthorWatch(const AuthorWatch&) = delete;
  AuthorWatch& operator=(const AuthorWatch&) = delete;

  // RESOURCE_EXHAUSTED if no thread can be started.
  absl::Status Start();

  // Calls `function`, which `what` names for people (it is kept until then) and
  // which may throw. Allocates nothing of its own. Where has_released() is true
  // afterwards, the answer is DATA_LOSS, and `function` has returned since.
  absl::Status Call(StoppedWorld& world, const std::string& what,
                    absl::FunctionRef<absl::Status()> function);
  // The same while threads run. Where gave_up() is true afterwards, the answer
  // is DEADLINE_EXCEEDED or CANCELLED, and `function` has returned since.
  absl::Status Call(const std::string& what,
                    absl::FunctionRef<absl::Status()> function,
                    Clock::duration at_least = kAtLeastUnheld);
  // Of the latest call.
  bool gave_up() const { return gave_up_; }
  // For what converts objects in a call (ConversionStep::WatchBy()): it is not
  // given up while it comes on, and begins with no other object afterwards.
  ConversionWatch& conversion() { return conversion_; }
  bool has_released() const { return has_released_; }

  // What runs although it has been given up: "hook before the update still
  // runs, in thread 12, in usleep <- shop::Migrate", and who owns the lock that
  // it waits for; empty if there is no such thing. `released`: whether threads
  // were held, and have been released. By any thread.
  std::string running(bool* released = nullptr) const;

 private:
  static constexpr Clock::rep kIdle = 0, kGivenUp = -1;

  class Watcher;  // the thread

  // Gives up what is called if its time is up. By the watcher, again and again.
  void Look();
  Clock::rep BeginCall(StoppedWorld* world, const std::string& what,
                       Clock::duration at_least);
  // What has been called since then is over. False: it has been given up. Its
  // stopped world is not used afterwards.
  bool EndCall(Clock::rep since);

  Clock::time_point until_;  // of the watcher: the update may be cancelled
  const std::function<bool()> is_cancelled_;
  const Clock::duration at_least_;
  ConversionWatch conversion_;
  // Since when something is called (of the clock), or one of the above. Call()
  // sets it and puts it back to idle, unless Look() has found, meanwhile, that
  // the time is up. Release and acquire, by both: whoever takes it from the
  // other sees what that has done.
  std::atomic<Clock::rep> calls_since_{kIdle};
  // Set before that, by whoever calls.
  StoppedWorld* world_ = nullptr;  // null: no threads are held
  // Atomic, relaxed: Look() may read it of the next call.
  std::atomic<Clock::duration> call_at_least_{Clock::duration::zero()};
  const std::string* what_ = nullptr;
  pid_t caller_ = 0;
  // Of the thread that calls.
  bool gave_up_ = false;
  bool has_released_ = false;
  // Of the watcher: when a conversion has come on last.
  Clock::time_point came_on_ = Clock::time_point::min();
  std::shared_ptr<Watcher> watcher_;

  mutable std::mutex lock_;  // of the rest
  std::condition_variable changed_;
  // The call has been given up, its threads have been released, and it has not
  // returned.
  bool is_given_up_ = false;
  // Who owned, when that was done, the lock that the call waited for.
  LockOwner owner_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_AUTHOR_WATCH_H_
