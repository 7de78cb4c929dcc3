// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A reboot of a thread that a rendezvous holds, begun by whoever holds it.
//
//   INSTAR_ASSIGN_OR_RETURN(Rendezvous rendezvous, Rendezvous::HoldAll());
//   const HeldThread& thread = rendezvous.threads()[0];
//   if (FindRebootObstacle(thread).kind == RebootObstacle::Kind::kNone) {
//     HeldReboot reboot = HeldReboot::Begin(thread, [] { NewMain(); });
//     if (...) reboot.Cancel();            // still at the rendezvous
//     rendezvous.Release();
//     reboot.Released();
//   }
//
// As UpdateContext::Reboot() (threads/update_request.h), with two differences:
// the thread runs nothing of its old function between the end of the rendezvous
// and the unwinding, since it is held where it can be unwound from; and a
// thread that waits in a blocking region is got out of it after the release,
// and rebooted as soon as its call returns.
//
// Threads: all by the thread that holds the rendezvous; Released() may be
// called later, by any thread. FindRebootObstacle(), Begin() and Cancel() take
// no lock but the thread's own, and allocate nothing if the reboot was prepared
// while the thread ran.

#ifndef INSTAR_THREADS_HELD_REBOOT_H_
#define INSTAR_THREADS_HELD_REBOOT_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "stack/unwind_safety.h"
#include "threads/internal/pending_request.h"
#include "threads/rendezvous.h"

namespace instar {

// Why a held thread cannot be rebooted from where it is. Owns no memory.
struct RebootObstacle {
  enum class Kind {
    kNone,
    kEnded,
    kNoBase,          // a ControlledThisThread: for ever
    kInterrupted,     // held by a signal: it would go on until an update point
    kUpdateFunction,  // it waits in an update function
    kWaiting,    // it waits in the library: threads/internal/stopped_wait.h
    kLoop,       // at a point in a loop that allows none
    kRebooting,  // an earlier reboot has not reached the base
    kStack,      // cannot be unwound: see `safety`
  };
  Kind kind = Kind::kNone;
  UnwindSafety safety;

  // A sentence without the thread's name. Takes locks: when all are released.
  std::string ToString() const;
};

// Before threads are held: frames of C are obstacles only if their functions
// are known (stack/unwind_safety.h). Takes locks, reads symbols.
void PrepareToFindRebootObstacles();

// While the thread is held.
RebootObstacle FindRebootObstacle(const HeldThread& thread,
                                  RebootOptions options = {});

class HeldReboot {
 public:
  // Allocates what Begin() needs, while the thread runs. One that is not begun
  // has no effect.
  static HeldReboot Prepare(const ThreadRef& thread);

  // While the thread is held: whether what was prepared for it suffices still,
  // which others may have used.
  bool IsPreparedFor(const ThreadRef& thread) const;

  // For a thread of which FindRebootObstacle() has found none, at the same
  // rendezvous.
  void Begin(absl::AnyInvocable<void()> new_main, RebootOptions options = {});
  // Both.
  static HeldReboot Begin(const HeldThread& thread,
                          absl::AnyInvocable<void()> new_main,
                          RebootOptions options = {}) {
    HeldReboot reboot = Prepare(thread.thread);
    reboot.Begin(std::move(new_main), options);
    return reboot;
  }

  // At the same rendezvous: the thread goes on as it was. The function is kept
  // until this is destroyed.
  void Cancel();

  // When the thread has been released.
  void Released();

 private:
  explicit HeldReboot(std::shared_ptr<threads_internal::PendingRequest> request)
      : request_(std::move(request)) {}

  std::shared_ptr<threads_internal::PendingRequest> request_;
  absl::AnyInvocable<void()> dropped_;
};

}  // namespace instar

#endif  // INSTAR_THREADS_HELD_REBOOT_H_
