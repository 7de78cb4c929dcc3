// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Says that a thread runs code of this library that must not be stopped half
// way: it owns a lock, or is about to take one, which whoever stops threads may
// need.
//
//   const LibraryCode not_here;
//   std::lock_guard<std::mutex> lock(range_mutex);
//   mprotect(...);
//
// A signal may still interrupt the thread there, but it is released at once
// (stack/interrupted_thread.h tells, threads/rendezvous.h obeys). Declare it
// before the lock is taken, so that it is gone after the lock has been
// released. Scopes nest.
//
// Not around code of the program, nor around a wait for something that an
// update may have to do: a thread in it is never held, so an update waits for
// its end.
//
// Threads: of the calling thread. IsOnThisThread() is async-signal-safe. Costs
// two stores to the thread's own memory. A thread that blocks all signals can
// be stopped, too (base/linux/traced_threads.h): so locks that are taken with
// signals blocked need it as well.

#ifndef INSTAR_BASE_LIBRARY_CODE_H_
#define INSTAR_BASE_LIBRARY_CODE_H_

#include <atomic>
#include <cstdint>

namespace instar {

class LibraryCode {
 public:
  LibraryCode() { Add(1); }
  ~LibraryCode() { Add(~std::uint32_t{0}); }
  LibraryCode(const LibraryCode&) = delete;
  LibraryCode& operator=(const LibraryCode&) = delete;

  static bool IsOnThisThread() {
    return depth_.load(std::memory_order_relaxed) != 0;
  }

  // The same of another thread, which stands still: by its thread pointer (the
  // base of fs). True, too, if that leads to no thread of libc. Async-signal-
  // safe.
  static bool IsOnThread(std::uintptr_t thread_pointer);

 private:
  // Only the thread itself writes it, and reads it in a signal handler: the
  // fences keep what the scope encloses inside of it.
  static void Add(std::uint32_t step) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    depth_.store(depth_.load(std::memory_order_relaxed) + step,
                 std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  static __thread std::atomic<std::uint32_t> depth_
      __attribute__((tls_model("initial-exec")));
};

}  // namespace instar

#endif  // INSTAR_BASE_LIBRARY_CODE_H_
