// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is known of a controlled thread. Internal to this package; users see
// ThreadRef.
//
// Locks, in the order in which they are taken: the registry's, a record's, a
// request's (threads/update_request.cc). None is held while code of the program
// runs, nor across a wait. A rendezvous takes them while threads are
// interrupted in system calls; none of those owns one, for a thread that does
// is Busy, and is released at once.
//
// How a thread is asked for something: whoever asks changes the record under
// its lock and sets a bit of the thread's `attention`. The thread's poll is a
// relaxed load of that word; it takes the lock before it believes anything, so
// the word needs no order of its own. A bit that is seen late is seen at the
// next update point.
//
// How a thread is held: Hold() sets `hold` under the record's lock and says
// whether the thread is stopped already. If not, it is counted as missing, and
// whichever move stops it (WaitWhileHeld(), a blocking region, its end) takes
// it off `missing_threads` under the same lock; so each thread is counted once.
// The last one wakes the rendezvous. Held threads wait on `hold_epoch`, which
// is read under the lock while `hold` is set and changed after `hold` has been
// cleared, so no thread sleeps through the end of the rendezvous.

#ifndef INSTAR_THREADS_INTERNAL_THREAD_RECORD_H_
#define INSTAR_THREADS_INTERNAL_THREAD_RECORD_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "stack/exposed_values.h"
#include "stack/stack_snapshot.h"
#include "threads/thread_state.h"

namespace instar {
namespace threads_internal {

struct PendingRequest;  // threads/update_request.cc
struct ThreadRecord;

// Bits of PerThread::attention.
enum Attention : std::uint32_t {
  kAttentionHold = 1,    // a rendezvous wants to hold this thread
  kAttentionUpdate = 2,  // an update function is due
  kAttentionReboot = 4,  // a reboot was begun and has not reached the base
  kAttentionWatch = 8,   // its points are watched, from its begin on
};

// The calling thread's part. Zero until it is a controlled thread.
struct PerThread {
  // Written by others, with the record's lock held, while `record` is set.
  std::atomic<std::uint32_t> attention;
  // Those bits of it for which entries of updatable functions are points. The
  // thunk of code/entry_interception.h looks at it: a thread of which nothing
  // is wanted passes intercepted entries fast.
  std::atomic<std::uint32_t> entry_attention;
  // While kAttentionHold is set: as ThreadRecord::hold_needs. Points in loops
  // that allow less need not look closer. Relaxed as that word is: who finds
  // the bit with an older value here asks the lock, or comes by once more.
  std::atomic<PointAllows> hold_needs;
  // Of NoUpdateScope. Read by a rendezvous that has interrupted the thread.
  std::atomic<std::uint32_t> no_update_depth;
  // The library's own code runs: a signal handler that comes now must take none
  // of its locks, and a rendezvous does not keep the thread interrupted. Only
  // this thread and its signal handlers write it; a rendezvous that has
  // interrupted it reads it.
  std::atomic<bool> busy;
  ThreadRecord* record;
};

extern __thread PerThread this_thread
    __attribute__((tls_model("initial-exec")));

// Why no reboot begins at a point in a loop that does not allow it.
inline constexpr char kNoExceptionFromLoop[] =
    "it is at an update point that the compiler has put into a loop, and that "
    "no exception can leave (docs/loop_update_points.md)";

// Gets a thread out of a blocking call; called with its record's lock held.
// False if it cannot.
struct Wakeup {
  bool (*wake)(const ThreadRecord& record, void* argument) = nullptr;
  void* argument = nullptr;
};

// For how long one rendezvous has held one thread. Written by the thread, or by
// the rendezvous that has interrupted it; read by anyone, at any time.
struct HoldStamp {
  // Nanoseconds of steady_clock; 0 is never.
  std::atomic<std::int64_t> begin{0};
  std::atomic<std::int64_t> end{0};
};
std::int64_t NowForStamp();

// Where the thread was interrupted last and could not stay so
// (threads/internal/may_stay_interrupted.h).
struct Refusal {
  std::uintptr_t pc = 0;  // 0: nowhere
  std::uintptr_t sp = 0;
  std::chrono::nanoseconds pause{0};
  std::chrono::steady_clock::time_point until;  // not again there
};

struct ThreadRecord : std::enable_shared_from_this<ThreadRecord> {
  ThreadRecord(std::string thread_name, ThreadKind thread_kind)
      : name(std::move(thread_name)), kind(thread_kind) {}

  const std::string name;
  const ThreadKind kind;
  // Whether there is a function that catches a reboot, when it has begun. Not
  // written once it is in the registry.
  bool has_base = true;

  // Written by the thread itself, under `lock`; read by anyone. Atomic because
  // of readers that only want to show it, and of its own signal handlers.
  // Relaxed: without the lock it says nothing about what else the thread did.
  std::atomic<ThreadState> state{ThreadState::kNew};
  std::atomic<pid_t> tid{0};

  std::mutex lock;
  // Under `lock`:
  PerThread* per_thread = nullptr;  // null before it begins and after its end
  const StackSnapshot* where = nullptr;  // while it is stopped, if it has begun
  absl::string_view stopped_at;          // the name of that point or region
  bool hold = false;                     // a rendezvous is in progress
  std::shared_ptr<HoldStamp> stamp;      // its, or the latest one's
  bool missing = false;                  // and waits for this thread
  const char* hold_point = nullptr;      // held only where it has this name
  PointAllows hold_needs = PointAllows::kMemory;  // and only where this is so
  Wakeup wakeup;                                  // while it is blocked
  bool was_woken = false;         // by `wakeup`, in this blocking call
  bool waits_in_library = false;  // blocked (threads/internal/stopped_wait.h)
  bool lost_in_fork = false;      // this child of a fork() has it not
  bool is_at_point = false;       // in ArriveAt(), from begin to end
  PointAllows allows = PointAllows::kReboot;  // what that point does
  // Called when that ends; set by who holds it there, or by its own update
  // function (threads/internal/held_call.h).
  absl::AnyInvocable<void()> when_it_goes_on;
  Refusal refusal;
  std::vector<std::shared_ptr<PendingRequest>> requests;
  // What its functions expose; as `per_thread`. Of the thread itself while it
  // is not held.
  stack_internal::ExposedNode** exposed_values = nullptr;

  // Of the thread itself. While it is held, `new_main` and `rebooting` are its
  // holder's (threads/held_reboot.h), under `lock`.
  bool in_update_function = false;
  std::uintptr_t base_frame = 0;        // of the function that catches a reboot
  absl::AnyInvocable<void()> new_main;  // set while a reboot is under way
  std::shared_ptr<PendingRequest> rebooting;
  bool reboots_through_c = false;  // RebootOptions::through_c of `new_main`
  // How many points it has come to that are watched.
  std::uint64_t arrivals = 0;
};

// Moves the calling thread. With record.lock held. Fatal if it is no move.
void Move(ThreadRecord& record, ThreadState to);

// For tests: told of every move, with record.lock held, on the thread that
// moves. Null otherwise. Release where it is set, paired with the acquire load
// in Move(): what it uses is there.
using MoveObserver = void (*)(const ThreadRecord& record, ThreadState from,
                              ThreadState to);
extern std::atomic<MoveObserver> move_observer_for_test;

// The state in which the calling thread goes on with its own computation.
ThreadState ResumeState(const ThreadRecord& record);

// With record.lock held; does nothing before the thread begins and after its
// end. `at_entries`: on at entries of updatable functions, too.
void SetAttention(ThreadRecord& record, Attention bit, bool on,
                  bool at_entries);
inline void SetAttention(ThreadRecord& record, Attention bit, bool on) {
  SetAttention(record, bit, on, on);
}

// --- Holding, see above.

extern std::atomic<std::uint32_t> missing_threads;
extern std::atomic<std::uint32_t> hold_epoch;

// With record.lock held. Whether the rendezvous in progress, if there is one,
// holds the thread where its stack is this, at the point or in the region of
// this name: not if it asks for another name, or for more than the point
// allows, nor where the thread may own the dynamic linker's lock
// (threads/internal/linker_lock.h). A thread that has not begun (null) is held
// anyway.
bool IsHeldAt(const ThreadRecord& record, const StackSnapshot* where,
              absl::string_view point);

// With record.lock held. False if the thread is to be waited for. `point`
// outlives the hold; null: any point. Only at points that allow what it needs.
bool Hold(ThreadRecord& record, const char* point,
          PointAllows needs = PointAllows::kMemory);
// With record.lock held. Before EndHold().
void LetGo(ThreadRecord& record);
// Wakes those that wait.
void EndHold();
// The thread is stopped now, and was asked to be. With record.lock held.
void CountAsStopped(ThreadRecord& record);
// The same if it is held there, IsHeldAt(); it stays there.
void CountAsStoppedAt(ThreadRecord& record, const StackSnapshot* where,
                      absl::string_view point);
// The calling thread waits while it is held there, IsHeldAt(). If it was, it is
// in kHeld afterwards, and moves on: to ResumeState(), which may be another one
// than before. With `lock` on record.lock, which is released meanwhile.
void WaitWhileHeld(ThreadRecord& record, std::unique_lock<std::mutex>& lock,
                   const StackSnapshot* where, absl::string_view point);

// --- The registry: all threads from their start to their end.

class Registry {
 public:
  static Registry& Get();

  // Adds a new thread. While a rendezvous of all threads is in progress, it is
  // held from the beginning.
  void Add(std::shared_ptr<ThreadRecord> record);
  void Remove(const ThreadRecord* record);
  std::vector<std::shared_ptr<ThreadRecord>> All() const;

  // Calls for each thread, with the registry's lock held, and from now until
  // StopHoldingNew() every new one is held.
  void HoldAllAndNew(
      const char* point,
      absl::FunctionRef<void(const std::shared_ptr<ThreadRecord>&)> hold);
  // The threads that were added meanwhile.
  std::vector<std::shared_ptr<ThreadRecord>> StopHoldingNew();
  std::vector<std::shared_ptr<ThreadRecord>> HeldNew() const;

  // Whether no thread owns the registry's lock, of those that stand still:
  // code of the program that runs then may list or start threads.
  bool IsFree() const;

 private:
  friend class ForkHandling;

  mutable std::mutex lock_;
  std::vector<std::shared_ptr<ThreadRecord>> threads_;
  std::vector<std::shared_ptr<ThreadRecord>> held_new_;
  bool hold_new_ = false;
  const char* hold_point_ = nullptr;
};

// Says for its lifetime that the library's own code runs on this thread.
class Busy {
 public:
  Busy() : before_(this_thread.busy.load(std::memory_order_relaxed)) {
    this_thread.busy.store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  ~Busy() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    this_thread.busy.store(before_, std::memory_order_relaxed);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  const bool before_;
};

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_THREAD_RECORD_H_
