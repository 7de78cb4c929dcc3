// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Another thread of this process, interrupted by a signal and held, so that its
// stack can be walked.
//
//   absl::StatusOr<InterruptedThread> thread =
//       InterruptedThread::Hold(tid, std::chrono::milliseconds(5));
//   if (!thread.ok()) ...                  // it did not arrive in time
//   WalkStack(thread->snapshot(), visit);
//   thread->Release();                     // or its destructor
//
//   // Without holding it longer than the copy takes:
//   std::vector<char> bytes(64 * 1024);
//   auto snapshot = CopyThread(tid, std::chrono::milliseconds(5), bytes.data(),
//                              bytes.size());
//
//   // Many at a time: stack/interrupted_threads.h
//
// The thread may be running or wait in a system call. The handler records three
// registers (and copies the stack if asked to) and waits; it interprets
// nothing. Where the kernel can, it restarts the system call (SA_RESTART);
// others (poll, epoll_wait, nanosleep: see signal(7)) return EINTR, as with any
// signal.
//
// The handler runs on the stack that it interrupts, a continulet's too, and
// needs about 1 KiB there and what the kernel saves, up to 3.5 KiB with
// AVX-512.
//
// While a thread is held it may own any lock of the program, that of the
// allocator included: whoever holds it must take none that it could own. Walks
// take none. Neither holding nor releasing takes one, and nothing is allocated.
//
// Threads: any, for any other thread; but one at a time holds others. The rest
// wait within their limit, and can be held meanwhile; who holds a thread is not
// interrupted by anyone. Released by the thread that holds. A real-time signal
// that has no handler is taken for this when it is first needed. A program that
// resets it later (SIG_DFL, SIG_IGN) finds the handler back when threads are
// interrupted; one that installs its own is sent none. A child of fork() holds
// nobody.

#ifndef INSTAR_STACK_INTERRUPTED_THREAD_H_
#define INSTAR_STACK_INTERRUPTED_THREAD_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "stack/internal/interruption.h"
#include "stack/stack_snapshot.h"

namespace instar {

class InterruptedThread {
 public:
  // Interrupts the thread `tid` (as gettid() names it) and holds it in its
  // signal handler. NOT_FOUND if there is no such thread in this process;
  // DEADLINE_EXCEEDED if it did not arrive within `limit`, which it does not
  // while it blocks the signal, waits for it by sigwaitinfo() or the like, or
  // while the system does not run it, or if another thread did not cease to
  // hold threads; FAILED_PRECONDITION if the program has a handler for the
  // signal by now, or if the thread has more seccomp filters than the calling
  // one, or SECCOMP_MODE_STRICT;
  // INVALID_ARGUMENT for the calling thread; RESOURCE_EXHAUSTED if no signal is
  // free or none can be sent, or if there is no memory.
  static absl::StatusOr<InterruptedThread> Hold(pid_t tid,
                                                std::chrono::nanoseconds limit);

  // The same without an error to tell why not, hence without allocating: for
  // whoever holds threads already, which may own the allocator's lock. Call
  // InterruptionSignal() before the first.
  static std::optional<InterruptedThread> TryHold(
      pid_t tid, std::chrono::nanoseconds limit);

  InterruptedThread(InterruptedThread&& other) noexcept;
  InterruptedThread& operator=(InterruptedThread&& other) noexcept;
  ~InterruptedThread() { Release(); }

  // Where it was interrupted. Its bounds are those of the stack that it ran on.
  // Valid until the release.
  const StackSnapshot& snapshot() const { return snapshot_; }

  // Whether it was interrupted in code that must not be stopped half way
  // (base/library_code.h).
  bool in_library_code() const { return in_library_code_; }

  // Lets the thread go on; does nothing if that was done already.
  void Release();

 private:
  InterruptedThread(stack_internal::RequestUse use,
                    const StackSnapshot& snapshot, bool in_library_code)
      : use_(use), snapshot_(snapshot), in_library_code_(in_library_code) {}

  stack_internal::RequestUse use_;
  StackSnapshot snapshot_;
  bool in_library_code_;
};

// Interrupts the thread, copies the stack above its stack pointer to `room`,
// and lets it go on. The snapshot reads the copy, so it is valid as long as
// `room` is. If the stack is larger than `size` bytes, the snapshot's bounds
// end where the copy ends, and a walk will say that it left them. Errors as for
// Hold().
absl::StatusOr<StackSnapshot> CopyThread(pid_t tid,
                                         std::chrono::nanoseconds limit,
                                         char* room, std::size_t size);

// The same without an error to tell why not, hence without allocating: see
// InterruptedThread::TryHold().
std::optional<StackSnapshot> TryCopyThread(pid_t tid,
                                           std::chrono::nanoseconds limit,
                                           char* room, std::size_t size);

// The signal that threads are interrupted by, for those who set masks. It is
// chosen at the first call. RESOURCE_EXHAUSTED if none is free.
absl::StatusOr<int> InterruptionSignal();

}  // namespace instar

#endif  // INSTAR_STACK_INTERRUPTED_THREAD_H_
