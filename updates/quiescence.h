// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Changes something at a moment when given functions are on no stack.
//
//   INSTAR_ASSIGN_OR_RETURN(const WatchedFunctions watched,
//                           WatchedFunctions::Make({f, g}));
//   Attempt attempt = WhenQuiescent(
//       watched, Stacks::kAllThreads, [&](OtherThreads others) {
//         return redirection.Apply(others);
//       });
//   // not yet: "shop::Price(int) is active at frame 3 of thread 4711"
//
// The stacks looked at are
//   kThisThread         the calling thread's: what runs, what waits for it
//                       because it switched to a continulet, and all paused
//                       continulets. Enough for functions that no other thread
//                       calls, and for updates by thread, where each thread's
//                       author knows what mixed versions mean (PyMoult
//                       (HotSWUP'13), section 2.1).
//   kControlledThreads  those of all controlled threads as well
//   kAllThreads         those of all threads of the process
//
// With kControlledThreads, the others meet at a rendezvous
// (threads/rendezvous.h): at update points, in blocking regions, in system
// calls. They are not disturbed anywhere else, and their number is not limited;
// a thread that comes to no update point within `rendezvous_limit` makes it
// "not yet", and the others stand still until then. Threads that are not
// controlled run on.
//
// With kAllThreads, the other threads are stopped by a signal while their
// stacks are walked and the change is made (stack/interrupted_thread.h): at any
// instruction, at once, no update point is waited for. It takes some ten
// microseconds a thread, and their number is not limited. Threads that start
// meanwhile are stopped, too; the stacks are walked when a look at all threads
// has found no new one.
//
// The answer is "not yet", with nothing changed, if
//   - a function is active: its name, depth and thread are named;
//   - a stack could not be walked;
//   - a thread did not come to the rendezvous: it is named, and where it is;
// and with kAllThreads if
//   - a thread did not stop in time (and 100 us for each thread), which it does
//     not while it blocks the signal;
//   - another thread holds threads (a rendezvous) and does not let them go
//     within that time;
//   - a thread that has continulets was stopped while it ran: it may have been
//     in the middle of a switch. Its stacks are known when it is stopped in a
//     system call. (A busy thread that always has continulets can make
//     kAllThreads wait for ever. Its own update point, and a rendezvous, do
//     not.)
// It is "failed" if the change failed, or if the rendezvous failed for another
// reason than its limit.
//
// Timers of the kind SIGEV_THREAD: glibc has a thread that starts another for
// each expiry, and that cannot be stopped. Where there is one, the threads are
// listed once more right before the change, and entries are changed under traps
// as if threads ran (OtherThreads::kRunning), so that a thread that begins
// meanwhile runs whole entries. What is not excluded: a thread that a timer
// starts between that listing and the end of the change may begin a call of the
// old version, and be inside of it when the new one is reached by others. It is
// "not yet", too, if then a thread blocks SIGTRAP or the process is traced
// (code/text_patch.h says why).
//
// The change must allocate nothing, take no lock and not throw: a stopped
// thread may own any lock of the program. Redirection::Apply() and Undo() obey
// that: who holds their lock cannot be stopped. An error that it makes by
// ErrorWithText() (base/error_text.h) gets its text afterwards.
//
// poll(), epoll_wait() and sleeping calls of the threads that were stopped by a
// signal return EINTR (signal(7)).
//
// Threads: any, controlled or not, also within an update function; one look at
// a time, further ones wait. Not in a signal handler, nor by whoever holds a
// rendezvous. Memory ordering: what was done before on a thread that was
// stopped is seen by the change, and the change by that thread when it goes on.

#ifndef INSTAR_UPDATES_QUIESCENCE_H_
#define INSTAR_UPDATES_QUIESCENCE_H_

#include <chrono>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "code/other_threads.h"
#include "stack/function_set.h"
#include "threads/attempt.h"

namespace instar {

enum class Stacks { kThisThread, kControlledThreads, kAllThreads };

// For how long threads are waited for, unless something else is said: to come
// to a rendezvous, and to stop. It is also what one attempt costs those that
// have come, or have stopped.
inline constexpr std::chrono::milliseconds kRendezvousLimit(50);
inline constexpr std::chrono::milliseconds kStopLimit(100);

// What an attempt cost.
struct QuiescenceReport {
  // For how long others were stopped, or were waited for while some were.
  std::chrono::nanoseconds stopped{0};
  // Whether a longer limit may help.
  bool was_too_short = false;
};

// Calls `change` if the functions are quiescent. OtherThreads::kHeld is passed
// if all threads of the process are stopped, and no timer can start another.
Attempt WhenQuiescent(
    const WatchedFunctions& watched, Stacks stacks,
    absl::FunctionRef<absl::Status(OtherThreads others)> change,
    std::optional<std::chrono::nanoseconds> limit = std::nullopt,
    QuiescenceReport* report = nullptr);

}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_H_
