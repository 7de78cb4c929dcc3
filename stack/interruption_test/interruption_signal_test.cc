// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program does to the signal by which threads are interrupted, and to
// threads, so that it must not be sent, or not as before.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/child_process.h"
#include "gtest/gtest.h"
#include "stack/interrupted_thread.h"
#include "stack/interrupted_threads.h"

namespace instar {
namespace {

using Deaf = InterruptedThreads::Deaf;
using State = InterruptedThreads::State;

constexpr std::chrono::seconds kLong(30);

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// A thread that has begun `body`, and is left alone: children end by _exit().
pid_t Start(std::function<void()> body) {
  std::atomic<pid_t> tid{0};
  std::thread([&tid, body = std::move(body)] {
    tid = ThreadId();
    body();
  }).detach();
  while (tid == 0) std::this_thread::yield();
  return tid;
}

void Spin() {
  while (true) std::this_thread::yield();
}

// What becomes of it.
State StateOfHeld(pid_t tid, Deaf deaf = Deaf::kTrace) {
  InterruptedThreads held;
  held.Add(tid);
  if (!held.Hold(kLong, deaf)) return State::kAdded;
  return held.begin()->state;
}

// By the signal, which is not given up meanwhile.
bool IsHeldOnce(pid_t tid) {
  // It goes on before it is held again.
  const bool is_held = InterruptedThread::Hold(tid, kLong).ok();
  return is_held && StateOfHeld(tid, Deaf::kLeave) == State::kHeld;
}

// On a busy machine a thread is not traced in time.
bool IsHeldAtLast(pid_t tid) {
  for (int attempt = 0; attempt < 300; ++attempt) {
    if (StateOfHeld(tid) == State::kHeld) return true;
  }
  return false;
}

// As daemon(7) advises.
void ResetSignals(sighandler_t to) {
  for (int number = 1; number < NSIG; ++number) signal(number, to);
  signal(SIGALRM, SIG_DFL);
}

TEST(InterruptionSignalTest, AProgramResetsAllSignals) {
  for (const sighandler_t to : {SIG_DFL, SIG_IGN}) {
    EXPECT_EQ(InAChild([to] {
                const int signal = *InterruptionSignal();
                const pid_t other = Start(&Spin);
                ResetSignals(to);
                if (!IsHeldOnce(other)) return 1;
                ResetSignals(to);
                // And in the other order.
                if (StateOfHeld(other, Deaf::kLeave) != State::kHeld) return 2;
                return signal == *InterruptionSignal() ? 0 : 3;
              }),
              0);
  }
}

std::atomic<int> handled{0};

TEST(InterruptionSignalTest, AProgramHasAHandlerOfItsOwn) {
  EXPECT_EQ(InAChild([] {
              const int number = *InterruptionSignal();
              const pid_t other = Start(&Spin);
              signal(number, [](int) { ++handled; });
              InterruptedThreads::FindDeaf();
              if (StateOfHeld(other) != State::kSignalIsTaken) return 1;
              if (InterruptedThread::Hold(other, kLong).status().code() !=
                  absl::StatusCode::kFailedPrecondition) {
                return 2;
              }
              if (InterruptedThread::TryHold(other, kLong)) return 3;
              if (handled != 0) return 4;
              // It goes on when that handler is gone.
              signal(number, SIG_DFL);
              return IsHeldOnce(other) ? 0 : 5;
            }),
            0);
}

// Of base/linux/traced_threads.h.
#if defined(__x86_64__)
constexpr bool kCanTrace = true;
#else
constexpr bool kCanTrace = false;
#endif

// What a thread for signals does.
std::atomic<int> waits{0};
std::atomic<int> received{0};
void WaitForAllSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (true) {
    ++waits;
    siginfo_t info;
    if (sigwaitinfo(&all, &info) > 0) ++received;
  }
}

// Of a system call.
void AwaitCall(pid_t tid, long number) {
  const std::string path =
      "/proc/self/task/" + std::to_string(tid) + "/syscall";
  long found = -1;
  while (found != number) {
    std::ifstream(path) >> found;
    std::this_thread::yield();
  }
}

TEST(InterruptionSignalTest, AThreadThatWaitsForTheSignalIsSentNone) {
  EXPECT_EQ(InAChild([] {
              if (!InterruptionSignal().ok()) return 1;
              std::atomic<bool> waits_now{false};
              const pid_t other = Start([&waits_now] {
                while (!waits_now) std::this_thread::yield();
                WaitForAllSignals();
              });
              // It is known as one that hears.
              InterruptedThreads::FindDeaf();
              if (!IsHeldAtLast(other)) return 2;
              waits_now = true;
              AwaitCall(other, SYS_rt_sigtimedwait);
              for (int round = 0; round < 3; ++round) {
                InterruptedThreads::FindDeaf(false);
                if (IsHeldAtLast(other) != kCanTrace) return 3;
                AwaitCall(other, SYS_rt_sigtimedwait);
                if (StateOfHeld(other, Deaf::kLeave) != State::kNotTaken) {
                  return 4;
                }
                if (InterruptedThread::TryHold(other, kLong)) return 5;
              }
              if (received != 0) return 6;
              // It still gets those of the program.
              syscall(SYS_tgkill, getpid(), other, SIGUSR1);
              while (received == 0) std::this_thread::yield();
              return 0;
            }),
            0);
}

// Ends the process for every call but these.
void LayFilter(std::initializer_list<unsigned> allowed) {
  std::vector<sock_filter> code = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const unsigned number : allowed) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog program = {static_cast<unsigned short>(code.size()),
                              code.data()};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(99);
}

std::atomic<bool> is_bound{false};
std::atomic<long> turns{0};

// Never set. AddressSanitizer makes a system call before what never returns.
std::atomic<bool> is_over{false};

void Count() {
  is_bound = true;
  while (!is_over) ++turns;
}

// Held and let go again and again, it goes on.
int HoldBound(const std::function<void()>& body) {
  if (!InterruptionSignal().ok()) return 1;
  std::atomic<bool> may_begin{false};
  const pid_t other = Start([&] {
    while (!may_begin) std::this_thread::yield();
    body();
  });
  InterruptedThreads::FindDeaf();
  if (!IsHeldAtLast(other)) return 2;
  may_begin = true;
  while (!is_bound) std::this_thread::yield();
  for (int round = 0; round < 20; ++round) {
    InterruptedThreads::FindDeaf();
    if (IsHeldAtLast(other) != kCanTrace) return 3;
    const long before = turns;
    while (turns == before) std::this_thread::yield();
    if (StateOfHeld(other, Deaf::kLeave) != State::kFiltered) return 4;
    if (InterruptedThread::Hold(other, kLong).status().code() !=
        absl::StatusCode::kFailedPrecondition) {
      return 5;
    }
  }
  return 0;
}

TEST(InterruptionSignalTest, AThreadWithAFilterIsNotEnded) {
  EXPECT_EQ(InAChild([] {
              return HoldBound([] {
                LayFilter({SYS_read, SYS_write});
                Count();
              });
            }),
            0);
}

// The kernel would go on with the call by another one (restart_syscall), which
// the filter does not allow.
TEST(InterruptionSignalTest, AThreadWithAFilterThatSleepsIsNotEnded) {
  EXPECT_EQ(InAChild([] {
              return HoldBound([] {
                LayFilter({SYS_nanosleep});
                is_bound = true;
                while (true) {
                  const timespec pause = {0, 1'000'000};
                  syscall(SYS_nanosleep, &pause, nullptr);
                  ++turns;
                }
              });
            }),
            0);
}

TEST(InterruptionSignalTest, AThreadInStrictModeIsNotEnded) {
  EXPECT_EQ(InAChild([] {
              return HoldBound([] {
                if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(99);
                Count();
              });
            }),
            0);
}

TEST(InterruptionSignalTest, AThreadWithTheFiltersOfTheProcessIsSentIt) {
  EXPECT_EQ(
      InAChild([] {
        sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        const sock_fprog program = {1, all};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
          return 1;
        }
        return IsHeldOnce(Start(&Spin)) ? 0 : 2;
      }),
      0);
}

}  // namespace
}  // namespace instar
