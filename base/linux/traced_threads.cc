// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/traced_threads.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <new>
#include <utility>

#include "base/at_fork.h"
#include "base/library_code.h"
#include "base/linux/deadline.h"
#include "base/linux/raw_syscall.h"
#include "base/linux/seccomp_filter.h"
#include "base/linux/tasks.h"

// The helper runs on a stack and with thread-local variables that sanitizers
// know nothing of.
#define INSTAR_IN_HELPER \
  __attribute__((no_sanitize("address", "thread", "undefined")))

namespace instar {
namespace {

using Clock = std::chrono::steady_clock;

// How many a helper holds, at most.
constexpr int kMost = 1024;
constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kRegisterSet = 1;  // NT_PRSTATUS

// Who holds threads: the thread's number, above it the ForkGeneration(); 0 for
// nobody.
std::atomic<std::uint64_t> g_turn{0};

std::uint64_t OfThisProcess(pid_t tid) {
  return static_cast<std::uint64_t>(ForkGeneration()) << 32 |
         static_cast<std::uint32_t>(tid);
}

pid_t Self() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// ThreadSanitizer instruments what the helper runs, which has no state of it.
// On other processors than x86-64 a thread's pointer to its own variables, by
// which LibraryCode::IsOnThread() finds them, cannot be told from any other
// word.
#if defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
constexpr bool kCanTrace = false;
#else
constexpr bool kCanTrace = true;
#endif

bool TakeTurn(TracedThreads::TimePoint deadline) {
  const std::uint64_t mine = OfThisProcess(Self());
  while (true) {
    std::uint64_t found = g_turn.load(std::memory_order_relaxed);
    const bool is_free = found == 0 || (found >> 32) != ForkGeneration();
    if (is_free) {
      // Acquire, partner: the release of who had it before.
      if (g_turn.compare_exchange_strong(found, mine,
                                         std::memory_order_acquire)) {
        return true;
      }
    } else if (found == mine || Clock::now() >= deadline) {
      return false;
    } else {
      const timespec pause = {0, 100'000};
      nanosleep(&pause, nullptr);
    }
  }
}

bool YamaAsksForDescendants() {
  const int file =
      open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char scope = 0;
  const bool is_read = read(file, &scope, 1) == 1;
  close(file);
  return is_read && scope == '1';
}

// What many filters do to whoever traces.
constexpr char kFilterEnds[] =
    "ptrace(2), for which a seccomp filter ends the process "
    "(SystemCallFilter=ptrace in a unit file allows it)";
constexpr SystemCall kTrace = {"ptrace", SYS_ptrace, {PTRACE_SEIZE}};

// Asked once for as many filters as there are: they come, and do not go.
bool FilterEndsTracing() {
  // The number of filters, and whether they do. Relaxed: one value.
  static std::atomic<std::uint64_t> known{0};
  const auto filters = static_cast<std::uint32_t>(CountSeccompFilters());
  if (filters == 0) return false;
  const std::uint64_t found = known.load(std::memory_order_relaxed);
  if (found >> 1 == filters) return (found & 1) != 0;
  const FilterVerdict verdict = AnswerOfFilter(kTrace).verdict;
  const bool ends =
      verdict == FilterVerdict::kEnds || verdict == FilterVerdict::kNotKnown;
  known.store(std::uint64_t{filters} << 1 | (ends ? 1 : 0),
              std::memory_order_relaxed);
  return ends;
}

}  // namespace

// One helper's. The helper and who made it take turns by two counters.
struct TracedThreads::Session {
  enum class Order { kHold, kLetGo, kEnd };
  struct Held {
    pid_t tid;
    int signal;  // that is to be delivered when it goes on, or 0
  };

  // Release where one is raised, acquire where the other side reads it: what
  // was written before is the receiver's then.
  std::atomic<std::uint32_t> asked{0};
  std::atomic<std::uint32_t> answered{0};
  // Cleared, and woken, by the kernel when the helper has ended.
  std::atomic<pid_t> helper{0};

  // By who asks.
  Order order = Order::kHold;
  pid_t tid = 0;
  Calls calls = Calls::kGoOn;
  timespec deadline = {0, 0};
  // By the helper.
  Result result = Result::kRefused;
  Refusal refusal;
  user_regs_struct registers = {};

  pid_t process = 0;
  pid_t helper_number = 0;
  bool is_known_to_yama = false;
  std::uint32_t generation = 0;
  std::atomic<int> count{0};
  Held held[kMost];
  alignas(16) char stack[kStackBytes];
};

namespace {

std::atomic<const void*> g_session{nullptr};

// Of a thread that was stopped in a system call: whether it would go on by
// restart_syscall(2). The number is the kernel's ERESTART_RESTARTBLOCK, which
// programs never see.
constexpr long kRestartByCall = -516;
INSTAR_IN_HELPER bool IsToBeRestartedByCall(
    [[maybe_unused]] const user_regs_struct& registers) {
#if defined(__x86_64__)
  return static_cast<long>(registers.orig_rax) >= 0 &&
         static_cast<long>(registers.rax) == kRestartByCall;
#else
  return false;  // see kCanTrace
#endif
}
INSTAR_IN_HELPER void SetResultOfCall(
    [[maybe_unused]] user_regs_struct& registers,
    [[maybe_unused]] long result) {
#if defined(__x86_64__)
  registers.rax = static_cast<unsigned long long>(result);
#endif
}

}  // namespace

// The helper. Everything is a system call: no libc, no allocation, no lock.
INSTAR_IN_HELPER int TracedThreads::Help(void* argument) {
  Session& s = *static_cast<Session*>(argument);
  RawSyscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (RawSyscall(SYS_getppid) != s.process) return 0;
  for (std::uint32_t done = 0;;) {
    while (__atomic_load_n(reinterpret_cast<std::uint32_t*>(&s.asked),
                           __ATOMIC_ACQUIRE) == done) {
      RawSyscall(SYS_futex, reinterpret_cast<long>(&s.asked),
                 FUTEX_WAIT_PRIVATE, done);
    }
    ++done;
    const int count =
        __atomic_load_n(reinterpret_cast<int*>(&s.count), __ATOMIC_RELAXED);
    bool ends = false;
    if (s.order == Session::Order::kHold) {
      int signal = 0;
      long error = RawSyscall(SYS_ptrace, PTRACE_SEIZE, s.tid, 0, 0);
      if (error != 0) {
        s.refusal.call = "ptrace(PTRACE_SEIZE)";
        s.refusal.error = static_cast<int>(-error);
        s.result = error == -ESRCH ? Result::kEnded : Result::kRefused;
      } else {
        RawSyscall(SYS_ptrace, PTRACE_INTERRUPT, s.tid, 0, 0);
        s.result = Result::kNotInTime;
        ends = true;
        for (int looks = 0; ends; ++looks) {
          timespec now;
          RawSyscall(SYS_clock_gettime, CLOCK_MONOTONIC,
                     reinterpret_cast<long>(&now));
          int status = 0;
          const long waited =
              RawSyscall(SYS_wait4, s.tid, reinterpret_cast<long>(&status),
                         __WALL | WNOHANG);
          if (waited == s.tid && WIFSTOPPED(status)) {
            // One that was about to take a signal has taken it off its queue.
            signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
            iovec room = {&s.registers, sizeof(s.registers)};
            error = RawSyscall(SYS_ptrace, PTRACE_GETREGSET, s.tid,
                               kRegisterSet, reinterpret_cast<long>(&room));
            s.result = Result::kHeld;
            if (error == 0 && s.calls == Calls::kEndWithEintr &&
                IsToBeRestartedByCall(s.registers)) {
              SetResultOfCall(s.registers, -EINTR);
              error = RawSyscall(SYS_ptrace, PTRACE_SETREGSET, s.tid,
                                 kRegisterSet, reinterpret_cast<long>(&room));
            }
            if (error != 0) {
              RawSyscall(SYS_ptrace, PTRACE_DETACH, s.tid, 0, signal);
              s.refusal.call = "ptrace(PTRACE_GETREGSET), or SETREGSET,";
              s.refusal.error = static_cast<int>(-error);
              s.result = error == -ESRCH ? Result::kEnded : Result::kRefused;
            }
            ends = false;
          } else if (waited == s.tid || waited == -ECHILD) {
            s.result = Result::kEnded;
            ends = false;
          } else if (now.tv_sec > s.deadline.tv_sec ||
                     (now.tv_sec == s.deadline.tv_sec &&
                      now.tv_nsec >= s.deadline.tv_nsec)) {
            // One that runs can only be released by the helper's end.
            break;
          } else if (looks < 100) {
            RawSyscall(SYS_sched_yield);
          } else {
            const timespec pause = {0, 50'000};
            RawSyscall(SYS_nanosleep, reinterpret_cast<long>(&pause), 0);
          }
        }
      }
      if (s.result == Result::kHeld) {
        s.held[count].tid = s.tid;
        s.held[count].signal = signal;
        __atomic_store_n(reinterpret_cast<int*>(&s.count), count + 1,
                         __ATOMIC_RELEASE);
      }
    } else if (s.order == Session::Order::kLetGo) {
      for (int i = 0; i < count; ++i) {
        if (s.held[i].tid != s.tid) continue;
        RawSyscall(SYS_ptrace, PTRACE_DETACH, s.tid, 0, s.held[i].signal);
        s.held[i] = s.held[count - 1];
        __atomic_store_n(reinterpret_cast<int*>(&s.count), count - 1,
                         __ATOMIC_RELEASE);
        break;
      }
    } else {
      ends = true;
    }
    if (ends) {
      for (int i = 0; i < count; ++i) {
        RawSyscall(SYS_ptrace, PTRACE_DETACH, s.held[i].tid, 0,
                   s.held[i].signal);
      }
      __atomic_store_n(reinterpret_cast<int*>(&s.count), 0, __ATOMIC_RELEASE);
    }
    __atomic_store_n(reinterpret_cast<std::uint32_t*>(&s.answered), done,
                     __ATOMIC_RELEASE);
    RawSyscall(SYS_futex, reinterpret_cast<long>(&s.answered),
               FUTEX_WAKE_PRIVATE, 1);
    if (ends) return 0;
  }
}

TracedThreads::TracedThreads(TracedThreads&& other) noexcept
    : session_(std::exchange(other.session_, nullptr)),
      refusal_(other.refusal_) {}

TracedThreads::Result TracedThreads::Refuse(const char* call, int error) {
  refusal_.call = call;
  refusal_.error = error;
  return Result::kRefused;
}

bool TracedThreads::Start(TimePoint deadline) {
  if (!kCanTrace) {
#if defined(__SANITIZE_THREAD__)
    Refuse("ThreadSanitizer", ENOSYS);
#else
    Refuse("holding threads that block all signals, on this processor,",
           ENOSYS);
#endif
    return false;
  }
  if (FilterEndsTracing()) {
    Refuse(kFilterEnds, EPERM);
    return false;
  }
  if (!TakeTurn(deadline)) {
    Refuse("waiting for another thread that traces", ETIMEDOUT);
    return false;
  }
  const long mapped =
      syscall(SYS_mmap, nullptr, sizeof(Session), PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == -1) {
    Refuse("mmap()", errno);
    g_turn.store(0, std::memory_order_release);
    return false;
  }
  auto* const session = new (reinterpret_cast<void*>(mapped)) Session;
  session->process = getpid();
  session->generation = ForkGeneration();
  // It would run the program's handlers.
  std::uint64_t all = ~std::uint64_t{0}, before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
  // Its number is written before it runs, and cleared when it has ended.
  const int helper = clone(&Help, session->stack + kStackBytes,
                           CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED |
                               CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
                           session, reinterpret_cast<pid_t*>(&session->helper),
                           nullptr, reinterpret_cast<pid_t*>(&session->helper));
  const int error = errno;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(all));
  if (helper < 0) {
    Refuse("clone()", error);
    syscall(SYS_munmap, session, sizeof(Session));
    g_turn.store(0, std::memory_order_release);
    return false;
  }
  session->helper_number = helper;
  if (YamaAsksForDescendants()) {
    session->is_known_to_yama = prctl(PR_SET_PTRACER, helper) == 0;
  }
  session_ = session;
  g_session.store(session, std::memory_order_release);
  return true;
}

TracedThreads::Result TracedThreads::Ask(pid_t tid, TimePoint deadline) {
  Session& s = *session_;
  s.tid = tid;
  s.deadline = ToTimespec(deadline);
  const std::uint32_t number = s.asked.load(std::memory_order_relaxed) + 1;
  s.asked.store(number, std::memory_order_release);
  syscall(SYS_futex, &s.asked, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  std::uint32_t answered;
  while ((answered = s.answered.load(std::memory_order_acquire)) != number) {
    // Somebody may have killed it.
    if (s.helper.load(std::memory_order_acquire) == 0) {
      return s.answered.load(std::memory_order_acquire) == number
                 ? s.result
                 : Refuse("the helper process", ECHILD);
    }
    const timespec limit = {0, 10'000'000};
    syscall(SYS_futex, &s.answered, FUTEX_WAIT_PRIVATE, answered, &limit,
            nullptr, 0);
  }
  return s.result;
}

TracedThreads::Result TracedThreads::Hold(pid_t tid, TimePoint deadline,
                                          Registers* registers, Calls calls) {
  const int saved_errno = errno;
  if (session_ != nullptr && session_->generation != ForkGeneration()) {
    Release();
  }
  if (session_ == nullptr && !Start(deadline)) return Result::kRefused;
  Result result = Result::kRefused;
  if (session_->count.load(std::memory_order_relaxed) == kMost) {
    Refuse("holding more threads", ENOSPC);
  } else {
    session_->order = Session::Order::kHold;
    session_->calls = calls;
    session_->refusal = Refusal();
    result = Ask(tid, deadline);
    if (result == Result::kRefused && session_->refusal.call != nullptr) {
      refusal_ = session_->refusal;
    }
  }
  if (result == Result::kHeld) {
#if defined(__x86_64__)
    const user_regs_struct& found = session_->registers;
    *registers = {found.rip, found.rsp, found.rbp};
    if (LibraryCode::IsOnThread(found.fs_base)) {
      Release(tid);
      result = Result::kNotInTime;
    }
#else
    static_cast<void>(registers);  // see kCanTrace
#endif
  } else if (result == Result::kNotInTime) {
    Release();  // the helper has ended
  } else if (result == Result::kRefused && HasTaskEnded(tid)) {
    result = Result::kEnded;
  }
  if (session_ != nullptr &&
      session_->count.load(std::memory_order_relaxed) == 0) {
    Release();
  }
  errno = saved_errno;
  return result;
}

void TracedThreads::Release(pid_t tid) {
  if (!IsHeldByThisThread(tid) || session_ == nullptr) return;
  session_->order = Session::Order::kLetGo;
  Ask(tid, Clock::now());
}

void TracedThreads::Release() {
  Session* const session = std::exchange(session_, nullptr);
  if (session == nullptr) return;
  const int saved_errno = errno;
  if (session->generation == ForkGeneration()) {
    session_ = session;
    session->order = Session::Order::kEnd;
    if (session->helper.load(std::memory_order_acquire) != 0) {
      Ask(0, Clock::now());
    }
    session_ = nullptr;
    g_session.store(nullptr, std::memory_order_release);
    if (session->is_known_to_yama) prctl(PR_SET_PTRACER, 0);
    while (syscall(SYS_wait4, session->helper_number, nullptr, __WALL,
                   nullptr) == -1 &&
           errno == EINTR) {
    }
    // Somebody else may have waited for it.
    while (session->helper.load(std::memory_order_acquire) != 0) sched_yield();
    g_turn.store(0, std::memory_order_release);
  }
  syscall(SYS_munmap, session, sizeof(Session));
  errno = saved_errno;
}

bool TracedThreads::IsHeldByThisThread(pid_t tid) {
  if (g_turn.load(std::memory_order_relaxed) != OfThisProcess(Self())) {
    return false;
  }
  const auto* const session =
      static_cast<const Session*>(g_session.load(std::memory_order_acquire));
  if (session == nullptr) return false;
  const int count = session->count.load(std::memory_order_acquire);
  for (int i = 0; i < count; ++i) {
    if (session->held[i].tid == tid) return true;
  }
  return false;
}

std::string TracedThreads::ToString(const Refusal& refusal) {
  if (refusal.call == nullptr) return "";
  std::string text = refusal.call;
  text += " fails: ";
  text += strerrordesc_np(refusal.error);
  if (refusal.error == EPERM || refusal.error == EACCES) {
    text +=
        " (a debugger traces the thread, the process is not dumpable, or a "
        "seccomp filter, Yama's ptrace_scope or another security module "
        "forbids it)";
  }
  return text;
}

}  // namespace instar
