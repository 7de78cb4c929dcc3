// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that are stopped so that something can be changed: who they are, how
// they were stopped, and what is on their stacks. Nothing else in this package
// stops a thread or walks a stack.
//
// A mechanism (updates/mechanisms/mechanism.h) is given one, and asks threads()
// and others(). Who makes one is in this package:
//
//   StopOptions options;
//   options.stacks = Stacks::kAllThreads;
//   StoppedWorld world(options);
//   Obstacles obstacles(/*most=*/1);
//   if (world.Stop(obstacles) && IsQuiescent(world, {&watched}, obstacles)) {
//     ... change something ...
//   }
//   world.Release();                       // or the end of the scope
//   return obstacles.ToAttempt();
//
// Who is stopped:
//   kThisThread         nobody. The stacks are the calling thread's: what runs,
//                       what waits for it because it switched to a continulet,
//                       and all its paused continulets. Enough for functions
//                       that no other thread calls, and for updates by thread,
//                       where each thread's author knows what mixed versions
//                       mean (PyMoult (HotSWUP'13), section 2.1).
//   kControlledThreads  all controlled threads, or those that are given, at a
//                       rendezvous (threads/rendezvous.h): at update points, in
//                       blocking regions, in system calls. They are not
//                       disturbed anywhere else. A thread that does not come
//                       within `limit` is an obstacle, and the others stand
//                       still until then. Other threads run on; or, with
//                       StopOptions::others_by_signal, are stopped when these
//                       are held, as with kAllThreads.
//   kAllThreads         all other threads of the process, by a signal
//                       (stack/interrupted_thread.h): at any instruction, at
//                       once, no update point is waited for. Some ten
//                       microseconds a thread; their number is not limited.
// The calling thread's own stacks count always.
//
// Threads of the library itself (base/linux/own_thread.h) are not stopped but
// by kAllThreads, where no code of an update's author runs, for one of them
// watches over that. They run nothing that is changed, but for what the
// manager's worker calls of an update (requirements, what is done before and
// after a stop): that is not looked at by an update that another thread applies
// meanwhile, which the manager never does itself.
//
// What stands in the way is noted in Obstacles, to be told when the threads run
// again. With threads that are stopped by a signal that is also
//   - a thread that did not stop within `limit` (and 100 us for each thread).
//     One that blocks the signal is traced instead, and is an obstacle where the
//     kernel does not allow that (base/linux/traced_threads.h);
//   - another thread that holds threads and does not let them go within that;
//   - a thread that has continulets and was stopped while it ran: it may have
//     been in the middle of a switch. Its stacks are known when it is stopped
//     in a system call. (A busy thread that always has continulets can be in
//     the way for ever. Its own update point, and a rendezvous, are not.)
//
// Timers of the kind SIGEV_THREAD: glibc has a thread that starts another for
// each expiry. It blocks all signals, as those that it starts do, and is traced
// as they are, or an obstacle.
//
// While threads are stopped, no lock of the program is taken: its owner may be
// among them. The library allocates and frees nothing either
// (base/no_allocation.h). Code of an update's author may, since it runs only
// while no thread is stopped that could own a lock of the allocator.
//
// poll(), epoll_wait() and sleeping calls of threads that were stopped by a
// signal return EINTR (signal(7)).
//
// Threads: any, controlled or not, also within an update function; with
// kAllThreads one at a time, further ones wait. Not in a signal handler, nor by
// whoever holds a rendezvous. Memory ordering: what was done before on a thread
// that was stopped happens before Stop() returns, and what is done then happens
// before that thread goes on.

#ifndef INSTAR_UPDATES_QUIESCENCE_STOPPED_WORLD_H_
#define INSTAR_UPDATES_QUIESCENCE_STOPPED_WORLD_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/fork_mutex.h"
#include "base/no_allocation.h"
#include "code/internal/other_threads.h"
#include "code/symbols/function.h"
#include "heap/internal/conversion_watch.h"
#include "stack/interrupted_threads.h"
#include "stack/stack_snapshot.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"
#include "threads/update_request.h"

namespace instar {

enum class Stacks { kThisThread, kControlledThreads, kAllThreads };

namespace threads_internal {
class UnsafeCode;
}  // namespace threads_internal
namespace updates_internal {
class Obstacles;
}  // namespace updates_internal

struct StopOptions {
  Stacks stacks = Stacks::kControlledThreads;
  // For how long threads are waited for.
  std::chrono::nanoseconds limit = std::chrono::milliseconds(50);
  // Of the update function that calls: what it paused is the calling thread's
  // own stack. Null: called from anywhere else.
  UpdateContext* context = nullptr;
  // With kAllThreads: code of the update's author will run, which may allocate.
  // A thread that may own a lock of the allocator is an obstacle then, or of
  // what objects are made of (base/library_code.h).
  bool for_authors_code = false;
  // Finds out which threads block all signals before any is stopped by one,
  // which otherwise is found out while others stand still; may take some 14 ms.
  // The attempts after a first one need not do it again.
  bool looks_for_deaf = true;
  // Who watches over what is done while they are stopped; null: nobody.
  ConversionWatch* conversion_watch = nullptr;

  // --- Of kControlledThreads; as of RendezvousOptions.

  // Which of them; none given: all.
  std::optional<std::vector<ThreadRef>> threads;
  // When they are held, the other threads of the process are stopped by a
  // signal. What holds of those that are held holds of all, then: none owns a
  // lock of the allocator. Where there are no others, it costs a system call.
  // Not under ThreadSanitizer, whose own thread takes no signals and which
  // keeps those of others back.
  bool others_by_signal = false;
  std::string point;
  std::function<PointAllows(const ThreadRef&)> needs;
  std::map<std::string, std::string> points;
  std::optional<ThreadRef> first;
  std::chrono::nanoseconds first_limit{0};
  // What is known of those that were late before, if `first` does not come.
  std::vector<MissingThread> late;
};

class StoppedWorld {
 public:
  using Clock = std::chrono::steady_clock;

  explicit StoppedWorld(StopOptions options);
  ~StoppedWorld();
  StoppedWorld(const StoppedWorld&) = delete;
  StoppedWorld& operator=(const StoppedWorld&) = delete;

  // False, with nobody stopped or with obstacles that only a Release() ends:
  // they say why.
  bool Stop(updates_internal::Obstacles& obstacles);

  // Whether all threads of the process are stopped and looked at, and not the
  // calling one or controlled ones alone.
  bool looks_at_all() const {
    return options_.stacks == Stacks::kAllThreads || options_.others_by_signal;
  }

  // --- While they are stopped.

  // Of the update function that the change is made in; null if there is none.
  UpdateContext* context() const { return options_.context; }
  // What takes long, object by object, tells it of each
  // (ConversionWatch::GoesOn()), and is not given up then while it comes on.
  // Null: nobody watches.
  ConversionWatch* conversion_watch() const {
    return options_.conversion_watch;
  }
  // The controlled threads that are held; of kControlledThreads.
  absl::Span<const HeldThread> threads() const;

  struct Stack {
    pid_t tid = 0;
    bool is_own = false;  // of the thread that asks
    absl::string_view continulet;
    const StackSnapshot* snapshot = nullptr;
    std::uintptr_t counts_from = 0;  // frames below this address are unwound
  };
  // Of what a controlled thread will unwind before it goes on: up to which
  // address on its own stack. Of nothing, and of all, its other stacks too:
  static constexpr std::uintptr_t kAllCounts = 0;
  static constexpr std::uintptr_t kNothingCounts = ~std::uintptr_t{0};
  using CountsFrom = absl::FunctionRef<std::uintptr_t(const ThreadRef&)>;
  // Until `visit` returns false. False if not all could be: an obstacle says
  // why.
  bool VisitStacks(absl::FunctionRef<bool(const Stack&)> visit,
                   CountsFrom counts_from,
                   updates_internal::Obstacles& obstacles);

  // kHeld if all threads of the process are stopped.
  OtherThreads others() const;

  // --- The end.

  // All go on; without effect the second time.
  void Release();
  // The same by another thread, for one that does not come to do it: nobody
  // calls anything else here meanwhile. Release() is called nevertheless, when
  // that one can, for its own sake.
  void ReleaseByAnother();

  // From when to when threads stood still, or were waited for while some did;
  // nothing if none did. After Release().
  std::optional<Clock::time_point> stopped() const { return stopped_; }
  Clock::time_point released() const { return released_; }
  std::chrono::nanoseconds stopped_for() const {
    return stopped_.has_value() ? released_ - *stopped_ : Clock::duration(0);
  }
  // Of that, until Stop() had all of them: what a stop in which nothing is done
  // takes, but for letting them go.
  std::chrono::nanoseconds stopping_for() const {
    return stopped_.has_value() && all_stopped_.has_value()
               ? *all_stopped_ - *stopped_
               : Clock::duration(0);
  }
  // Whether Stop() waited for StopOptions::first alone, in vain.
  bool first_did_not_come() const { return first_did_not_come_; }
  // For how long each thread was held: Rendezvous::HoldTimes(), and then the
  // same of those that were stopped by a signal. After Release().
  std::vector<std::chrono::nanoseconds> HoldTimes() const;
  // How many of them were stopped by a signal.
  std::size_t stopped_by_signal() const { return interrupted_count_; }

 private:
  bool StopsBySignal() const {
    return options_.stacks == Stacks::kAllThreads ||
           (options_.stacks == Stacks::kControlledThreads &&
            options_.others_by_signal);
  }
  bool StopThose(updates_internal::Obstacles& obstacles);
  bool StopControlled(updates_internal::Obstacles& obstacles);
  bool StopAll(updates_internal::Obstacles& obstacles);
  bool AreAllHeld() const;
  bool StopBySignal(updates_internal::Obstacles& obstacles);
  bool StopListed(updates_internal::Obstacles& obstacles);
  void PrepareForAuthorsCode();
  bool VisitOwn(absl::FunctionRef<bool(const Stack&)> visit,
                updates_internal::Obstacles& obstacles);
  bool MayRunAuthorsCode(updates_internal::Obstacles& obstacles) const;
  bool IsAuthorsCodePossible() const {
    return options_.for_authors_code || options_.others_by_signal;
  }
  const HeldThread* FindHeld(pid_t tid) const;

  const StopOptions options_;
  const pid_t self_;
  // Two threads that stop all others would stop each other, and both time out.
  std::unique_lock<ForkMutex> turn_;
  std::optional<NoAllocation> no_allocation_;
  InterruptedThreads interrupted_;
  // Since when, and how many of them there were.
  std::optional<Clock::time_point> interrupted_since_;
  std::size_t interrupted_count_ = 0;
  std::optional<Rendezvous> rendezvous_;
  // If code of an author is to run: read before the first is stopped.
  std::optional<FunctionMap> map_;
  const threads_internal::UnsafeCode* unsafe_ = nullptr;
  std::optional<Clock::time_point> stopped_, all_stopped_;
  Clock::time_point released_;
  bool first_did_not_come_ = false;
  bool is_released_ = false;
};

}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_STOPPED_WORLD_H_
