// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads of this process that no signal reaches, stopped by ptrace(2): those
// that block every signal, as the threads of libzmq or librdkafka do.
//
//   TracedThreads traced;
//   TracedThreads::Registers registers;
//   if (traced.Hold(tid, deadline, &registers) ==
//       TracedThreads::Result::kHeld) {
//     ... it stands still, at registers.pc ...
//   }
//   traced.Release();            // or its destructor: they go on
//
// A thread cannot be traced from its own process, so Hold() makes a helper: a
// process that shares this one's memory, lives until Release(), runs nothing
// but system calls, and takes no signal. It is no child that the program
// notices: it sends no SIGCHLD, and only a waitpid() with __WALL or __WCLONE
// would see it. It ends with the thread that made it. When it ends, however it
// does, the kernel lets the threads go on.
//
// A thread may be stopped anywhere, also while it owns a lock, as by a signal.
// One in this library's own code is not stopped, as long as that says so
// (base/library_code.h). No signal is lost. A system call that waits is
// interrupted as by a signal that has no handler: epoll_wait() and a few others
// then return EINTR (signal(7)), the rest go on.
//
// Refused where the kernel does not allow it: another process (a debugger)
// traces the thread; the process is not dumpable; a seccomp filter, Yama
// (ptrace_scope 2 or 3) or another security module forbids it; no process can
// be made (RLIMIT_NPROC). A filter that ends who traces is found out before
// (base/linux/seccomp_filter.h). Where Yama allows descendants to be traced
// only (1), the helper is made known by prctl(PR_SET_PTRACER), which takes the
// place of what the program said by it. Not under ThreadSanitizer.
//
// Allocates by mmap() only, and takes no lock, so that it can be used while
// other threads are stopped. One thread at a time holds others by it.
//
// Threads: any; released by the thread that holds. In a child of fork() nothing
// is held.

#ifndef INSTAR_BASE_LINUX_TRACED_THREADS_H_
#define INSTAR_BASE_LINUX_TRACED_THREADS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace instar {

class TracedThreads {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Registers {
    std::uintptr_t pc = 0;
    std::uintptr_t sp = 0;
    std::uintptr_t fp = 0;
  };
  enum class Result {
    kHeld,
    kEnded,
    kNotInTime,  // or in this library's code; it runs on
    kRefused,    // see WhyRefused()
  };
  // Why the kernel does not allow it: the call that failed, and its errno.
  struct Refusal {
    const char* call = nullptr;
    int error = 0;
  };

  TracedThreads() = default;
  TracedThreads(TracedThreads&& other) noexcept;
  TracedThreads& operator=(TracedThreads&&) = delete;
  ~TracedThreads() { Release(); }

  // What becomes of a system call that waits, and that the kernel goes on with
  // by another one, restart_syscall(2): nanosleep(), poll() and a few others.
  enum class Calls {
    kGoOn,
    kEndWithEintr,  // as by a handler, where a seccomp filter may end whoever
                    // makes that other call
  };
  // Holds another thread, until one of the following. If one does not stop in
  // time, those that were held before are released.
  Result Hold(pid_t tid, TimePoint deadline, Registers* registers,
              Calls calls = Calls::kGoOn);
  // Lets one go on; does nothing if it is not held.
  void Release(pid_t tid);
  // All of them. The helper ends. Also by another thread, for one that does not
  // come to do it.
  void Release();

  // Of the latest Hold() that was refused.
  const Refusal& refusal() const { return refusal_; }
  // "ptrace(PTRACE_SEIZE) fails: Operation not permitted (...)". Allocates.
  static std::string ToString(const Refusal& refusal);

  // Whether the calling thread holds that one.
  static bool IsHeldByThisThread(pid_t tid);

 private:
  struct Session;

  bool Start(TimePoint deadline);
  Result Ask(pid_t tid, TimePoint deadline);
  Result Refuse(const char* call, int error);
  static int Help(void* session);

  Session* session_ = nullptr;
  Refusal refusal_;
};

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_TRACED_THREADS_H_
