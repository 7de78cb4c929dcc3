// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Many threads of this process, interrupted by signals and held, at about the
// cost of the signals: all are sent before the first answer is waited for.
//
//   InterruptedThreads threads;
//   for (const pid_t tid : tids) threads.Add(tid);
//   threads.Hold(std::chrono::milliseconds(100));
//   for (InterruptedThreads::Thread& thread : threads) {
//     if (thread.state == InterruptedThreads::State::kHeld) ...
//   }
//   threads.Add(another);                  // those that started meanwhile
//   threads.Hold(std::chrono::milliseconds(100));
//   threads.Release();                     // or its destructor
//
// What holds for one (stack/interrupted_thread.h) holds for many. Nothing here
// takes a lock that a held thread could own; memory comes from mmap(), so it
// may grow while threads are held. InterruptionSignal() is to be called before
// the first is held.
//
// A thread that blocks the signal, that waits for it by sigwaitinfo(), or that
// has seccomp filters of its own is traced instead (Deaf::kTrace), where the
// kernel allows that (base/linux/traced_threads.h): it then stands still as the
// others do.
//
// Threads: as one value of its own; released by the thread that holds.

#ifndef INSTAR_STACK_INTERRUPTED_THREADS_H_
#define INSTAR_STACK_INTERRUPTED_THREADS_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>

#include "base/linux/traced_threads.h"
#include "stack/internal/interruption.h"
#include "stack/stack_snapshot.h"

namespace instar {

class InterruptedThreads {
 public:
  enum class State {
    kAdded,
    kHeld,
    kEnded,     // or runs nothing of the program (base/linux/system_threads.h)
                // it is not, or no longer, in this process, or runs no more
    kNotTaken,  // it did not take the signal in time: it blocks it, waits for
                // it (sigwaitinfo()), or the system did not run it; nor could
                // it be traced
    kFiltered,  // its seccomp filters might end the process, and it could not
                // be traced: no signal was sent
    kNotSent,   // no signal can be sent (RLIMIT_SIGPENDING), or no memory
    kSignalIsTaken,  // nor may any: the program has a handler of its own for it
    kReleased,
  };

  struct Thread {
    pid_t tid = 0;
    State state = State::kAdded;
    // Of one that is held, as of InterruptedThread.
    bool in_library_code = false;
    StackSnapshot snapshot;
    bool is_traced = false;
    stack_internal::RequestUse use;  // internal
  };
  // What becomes of threads that no signal reaches, or that it must not be sent
  // to (base/linux/signal_reach.h).
  enum class Deaf { kLeave, kTrace };

  // Finds out which threads of the process those are, for Hold() with
  // Deaf::kTrace: that would take some 14 ms to know who blocks the signal,
  // with the others held. So does this, if there is one that it does not know,
  // with nobody held. It looks at each thread if they are few, up to 64;
  // otherwise once at each that is none of those, so that what it does to
  // itself later, by a seccomp filter or sigwaitinfo(), is not seen before the
  // signal has not been answered. Finds up to 64. Unless it `may_wait`, it does
  // not find those that block the signal, and takes no such time. Allocates
  // nothing.
  static void FindDeaf(bool may_wait = true);

  InterruptedThreads() = default;
  ~InterruptedThreads();
  InterruptedThreads(InterruptedThreads&& other) noexcept;
  InterruptedThreads& operator=(InterruptedThreads&&) = delete;

  // Adds a thread to those that Hold() is to hold. One that is held stays so,
  // and the calling thread is none. False if there is no memory.
  bool Add(pid_t tid);

  // Holds those that were added since the last time. Without Deaf::kTrace each
  // is looked at before, as by FindDeaf(), if they are few. False,
  // with nobody more held, if no signal is free or if another thread holds
  // threads and does not let them go within `limit`; else each thread's state
  // says what became of it. Afterwards threads are in the order of their
  // numbers, and iterators and references are new.
  bool Hold(std::chrono::nanoseconds limit, Deaf deaf = Deaf::kLeave);
  // Why one could not be traced.
  const TracedThreads::Refusal& refusal() const { return traced_.refusal(); }

  Thread* begin() { return threads_; }
  Thread* end() { return threads_ + size_; }
  const Thread* begin() const { return threads_; }
  const Thread* end() const { return threads_ + size_; }
  std::size_t size() const { return size_; }
  // Those that are held.
  std::size_t held() const { return held_; }
  // Null if it was not added. After Hold(), until Add().
  Thread* Find(pid_t tid);

  // Lets one go on; does nothing if it is not held.
  void Release(Thread& thread);
  // All of them, and forgets them.
  void Release();

 private:
  bool Grow();
  void ReturnTurn();
  // In a child of fork(): it holds nobody.
  void ForgetOfParent();
  void LookBefore(int signal, Deaf deaf);
  void PostAll(stack_internal::Answers* answers, int signal,
               stack_internal::TimePoint deadline);
  void CancelEnded(stack_internal::Answers* answers);
  void CancelDeaf(stack_internal::Answers* answers, int signal);
  void TraceDeaf(int signal, stack_internal::TimePoint deadline);
  void FindStacks();

  Thread* threads_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::size_t held_ = 0;
  bool has_turn_ = false;  // while one is held
  TracedThreads traced_;
};

}  // namespace instar

#endif  // INSTAR_STACK_INTERRUPTED_THREADS_H_
