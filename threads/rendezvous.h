// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A scope in which controlled threads are held.
//
//   INSTAR_ASSIGN_OR_RETURN(Rendezvous rendezvous, Rendezvous::HoldAll());
//   for (const HeldThread& thread : rendezvous.threads()) {
//     for (const StackSnapshot& stack : thread.stacks) {
//       if (!FindActivity(stack, functions).quiescent()) ...
//     }
//   }
//   ... change something ...
//   // they go on at the end of the scope
//
// A thread has arrived when it
//   - waits at an update point (threads/update_point.h; for an active thread,
//     entries of updatable functions are intercepted while it is missing),
//   - is in a blocking region, also if it came there before; if a point is
//     named, only in a region of that name,
//   - has not begun, or has ended,
//   - was interrupted, unless a point is named for it: after `grace`, a thread
//     that
//     waits in a system call with a reliable stack is held in a signal handler,
//     unless the call was made by the allocator, the dynamic linker,
//     pthread_create() or fork(), or in a NoUpdateScope or update function. It
//     runs nothing. Some system calls then return EINTR, as after any signal
//     (signal(7)).
// A thread that is held may own any lock of the program, those of stdio
// included, but none of the allocator: whoever changes something takes no lock,
// and may allocate if it must. The library itself allocates and frees nothing
// from before the first thread is held until the last has been released, also
// when that fails (base/no_allocation.h): what it needs it has before, and what
// it says it says afterwards.
// A thread that may own the dynamic linker's lock, in an initializer of an
// object that is loaded or a callback of dl_iterate_phdr(), is not held, and
// has not arrived.
//
// Interrupting is what threads need that meet inside a contended lock: the
// owner arrives at an update point, the others wait for the lock.
//
// With HoldAll(), threads that start meanwhile are held before they begin. The
// calling thread is never held, nor listed. Threads that a rendezvous holds may
// run signal handlers of the program; on the calling thread signals are blocked
// until the release (base/linux/blocked_signals.h).
//
// Errors: DEADLINE_EXCEEDED after `limit`: all threads are released, and the
// message names each thread that did not come, where it is and for how long it
// was waited for; the same if an earlier rendezvous did not end in time (they
// queue up, in no order). Those of EntryInterception::OfAll(), where functions
// have entries (code/entries_here.h); where they have none, active threads that
// run are interrupted, as passive ones are.
//
// Threads: any may hold a rendezvous, also within an update function; while it
// waits for its turn it counts as stopped itself. Release() and the destructor
// are called on the same thread. Memory ordering: all that a held thread did
// happens before Hold() returns, and what is done in the scope happens before
// the thread goes on.

#ifndef INSTAR_THREADS_RENDEZVOUS_H_
#define INSTAR_THREADS_RENDEZVOUS_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "stack/stack_snapshot.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"

namespace instar {

namespace threads_internal {
struct HoldStamp;
}

// A thread that a rendezvous waited for in vain.
struct MissingThread {
  ThreadRef thread;
  ThreadState state;
  // Where it is, innermost first, by name; empty if that is not known.
  std::vector<std::string> functions;
};

struct RendezvousOptions {
  std::chrono::nanoseconds limit = std::chrono::seconds(1);
  // After which threads are interrupted; longer than `limit`: never.
  std::chrono::nanoseconds grace = std::chrono::microseconds(300);
  // Held only at update points of this name, and in blocking regions of it
  // (Blocking("between requests", ...)).
  std::string point;
  // What a point must allow for this thread to be held there. Null: kMemory.
  // Called while threads are held: takes no lock, and allocates nothing.
  std::function<PointAllows(const ThreadRef&)> needs;
  // Of threads of these names, in place of `point`.
  std::map<std::string, std::string> points;
  // Asked alone: the others are asked, and begin to stand still, when it has
  // arrived. For a thread that was missing before and would let them wait
  // again. Those that start meanwhile are among the others. It must be one of
  // those that are to be held. `first_limit` is how long it is waited for;
  // `limit` of the others begins then.
  std::optional<ThreadRef> first;
  std::chrono::nanoseconds first_limit{0};
  // Filled in when all are asked; unchanged if `first` did not come.
  std::optional<std::chrono::steady_clock::time_point>* asked_all = nullptr;
  // Filled in if the limit passes: who did not come, and when all went on,
  // which is before it has been found out where those are.
  std::vector<MissingThread>* missing = nullptr;
  std::optional<std::chrono::steady_clock::time_point>* released = nullptr;
};

struct HeldThread {
  ThreadRef thread;
  // Held in a signal handler, in a system call.
  bool is_interrupted = false;
  // Its own computation first, then all its paused ones. Empty if it has not
  // begun, or has ended. Valid while it is held.
  absl::Span<const StackSnapshot> stacks;
  // Which hold it is: what of a rendezvous comes too late is told from what the
  // next one does. Valid for as long as the Rendezvous is there.
  const threads_internal::HoldStamp* hold = nullptr;
};

class Rendezvous {
 public:
  // All controlled threads.
  static absl::StatusOr<Rendezvous> HoldAll(RendezvousOptions options = {});
  // These; each once.
  static absl::StatusOr<Rendezvous> Hold(absl::Span<const ThreadRef> threads,
                                         RendezvousOptions options = {});

  Rendezvous(Rendezvous&&) noexcept;
  Rendezvous& operator=(Rendezvous&&) noexcept;  // releases what it held
  ~Rendezvous();

  // With HoldAll(), those that started since are not listed.
  const std::vector<HeldThread>& threads() const;

  // Whether nobody owns a lock that reboots of these threads take. For whoever
  // has stopped other threads since, at any instruction: they may own one.
  bool OwnLocksAreFree() const;

  // Lets the threads go on; without effect the second time.
  void Release();
  // The same by another thread, for one that holds threads and does not come to
  // release them: nobody calls anything else here meanwhile. The thread that
  // held them calls Release() when it can, for its own sake.
  void ReleaseByAnother();

  // For how long each of threads() has been held, from its arrival until it
  // went on: zero for one that has not begun, or stayed in a blocking region.
  // Still held, or about to go on: until now. At any time, by any thread.
  std::vector<std::chrono::nanoseconds> HoldTimes() const;

 private:
  struct State;
  explicit Rendezvous(std::unique_ptr<State> state);
  static absl::StatusOr<Rendezvous> Start(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace instar

#endif  // INSTAR_THREADS_RENDEZVOUS_H_
