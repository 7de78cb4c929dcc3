// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/traced_threads.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/library_code.h"
#include "base/testing/child_process.h"
#include "base/testing/no_tracing.h"
#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::HasSubstr;
using Result = TracedThreads::Result;

TracedThreads::TimePoint Soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(20);
}

// A thread that blocks every signal but `allowed`, and runs `step` again and
// again.
class DeafThread {
 public:
  explicit DeafThread(std::function<void()> step, int allowed = 0) {
    thread_ = std::thread([this, step, allowed] {
      sigset_t blocked;
      sigfillset(&blocked);
      if (allowed != 0) sigdelset(&blocked, allowed);
      pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
      tid_ = static_cast<pid_t>(syscall(SYS_gettid));
      while (!stop_) {
        step();
        ++steps_;
      }
    });
    while (tid_ == 0) sched_yield();
  }
  ~DeafThread() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  pid_t tid() const { return tid_; }
  int steps() const { return steps_; }
  bool GoesOn() const {
    const int seen = steps_;
    while (steps_ == seen) sched_yield();
    return true;
  }
  bool StandsStill() const {
    const int seen = steps_;
    for (int i = 0; i < 50; ++i) sched_yield();
    return steps_ == seen;
  }

 private:
  std::atomic<pid_t> tid_{0};
  std::atomic<int> steps_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

std::atomic<int> child_signals{0};

TEST(TracedThreadsTest, AThreadStandsStillAndGoesOn) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  signal(SIGCHLD, [](int) { ++child_signals; });
  DeafThread thread([] {});
  DeafThread other([] {});
  for (int round = 0; round < 15; ++round) {
    TracedThreads traced;
    TracedThreads::Registers registers;
    ASSERT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kHeld)
        << TracedThreads::ToString(traced.refusal());
    EXPECT_NE(registers.pc, 0u);
    EXPECT_NE(registers.sp, 0u);
    EXPECT_TRUE(thread.StandsStill());
    EXPECT_TRUE(TracedThreads::IsHeldByThisThread(thread.tid()));
    EXPECT_FALSE(TracedThreads::IsHeldByThisThread(other.tid()));
    EXPECT_TRUE(other.GoesOn());
    ASSERT_EQ(traced.Hold(other.tid(), Soon(), &registers), Result::kHeld);
    EXPECT_TRUE(other.StandsStill());
    // The program does not see the helper.
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
    traced.Release(thread.tid());
    EXPECT_TRUE(thread.GoesOn());
    EXPECT_FALSE(TracedThreads::IsHeldByThisThread(thread.tid()));
    EXPECT_TRUE(other.StandsStill());
    traced.Release();
    EXPECT_TRUE(other.GoesOn());
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG | __WALL), -1) << "nor later";
  }
  EXPECT_EQ(child_signals, 0);
  signal(SIGCHLD, SIG_DFL);
}

TEST(TracedThreadsTest, AThreadThatWaitsInTheKernel) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event wanted = {};
  wanted.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted);
  std::atomic<bool> failed{false};
  DeafThread thread([&] {
    epoll_event got;
    if (epoll_wait(epoll, &got, 1, -1) < 0 && errno != EINTR) failed = true;
  });
  for (int round = 0; round < 20; ++round) {
    TracedThreads traced;
    TracedThreads::Registers registers;
    ASSERT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kHeld);
  }
  const std::uint64_t one = 1;
  ASSERT_EQ(write(event, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  thread.Stop();
  EXPECT_FALSE(failed);
  close(epoll);
  close(event);
}

TEST(TracedThreadsTest, TheFirstThread) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EXPECT_EQ(
      InAChild([] {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        std::atomic<int> steps{0};
        std::atomic<int> answer{-1};
        std::thread holder([&] {
          TracedThreads traced;
          TracedThreads::Registers registers;
          if (traced.Hold(getpid(), Soon(), &registers) != Result::kHeld) {
            answer = 1;
            return;
          }
          const int seen = steps;
          for (int i = 0; i < 50; ++i) sched_yield();
          const bool stands_still = steps == seen;
          traced.Release();
          answer = stands_still ? 0 : 2;
        });
        while (answer < 0) ++steps;
        holder.join();
        return answer.load();
      }),
      0);
}

TEST(TracedThreadsTest, AThreadThatHasEnded) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  pid_t tid = 0;
  std::thread([&] { tid = static_cast<pid_t>(syscall(SYS_gettid)); }).join();
  TracedThreads traced;
  TracedThreads::Registers registers;
  EXPECT_EQ(traced.Hold(tid, Soon(), &registers), Result::kEnded);
}

TEST(TracedThreadsTest, CodeOfTheLibraryIsLetGo) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> in_library_code{true};
  std::atomic<bool> has_left{false};
  DeafThread thread([&] {
    if (has_left) return;
    {
      const LibraryCode here;
      while (in_library_code) continue;
    }
    has_left = true;
  });
  TracedThreads traced;
  TracedThreads::Registers registers;
  EXPECT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kNotInTime);
  in_library_code = false;
  while (!has_left) sched_yield();
  EXPECT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kHeld);
}

std::atomic<int> signals_taken{0};

TEST(TracedThreadsTest, NoSignalIsLost) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  struct sigaction action = {};
  action.sa_handler = [](int) { ++signals_taken; };
  ASSERT_EQ(sigaction(SIGRTMIN + 3, &action, nullptr), 0);
  DeafThread thread([] {}, SIGRTMIN + 3);
  std::atomic<bool> stop{false};
  int sent = 0;
  std::thread sender([&] {
    while (!stop) {
      // When too many are queued, none is sent.
      if (tgkill(getpid(), thread.tid(), SIGRTMIN + 3) == 0) ++sent;
      if (sent - signals_taken > 100) sched_yield();
    }
  });
  for (int round = 0; round < 500; ++round) {
    TracedThreads traced;
    TracedThreads::Registers registers;
    ASSERT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kHeld);
  }
  stop = true;
  sender.join();
  while (signals_taken < sent) sched_yield();
  EXPECT_EQ(signals_taken, sent);
}

TEST(TracedThreadsTest, TheHelperIsKilled) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  DeafThread thread([] {});
  TracedThreads traced;
  TracedThreads::Registers registers;
  ASSERT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kHeld);
  pid_t helper = 0;
  std::ifstream("/proc/thread-self/children") >> helper;
  ASSERT_GT(helper, 0);
  ASSERT_EQ(kill(helper, SIGKILL), 0);
  EXPECT_TRUE(thread.GoesOn());
  EXPECT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kRefused);
  EXPECT_THAT(TracedThreads::ToString(traced.refusal()),
              HasSubstr("the helper process"));
  traced.Release();
  EXPECT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kHeld);
}

TEST(TracedThreadsTest, AKernelThatForbidsIt) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EXPECT_EQ(
      InAChild([] {
        if (!ForbidTracing()) return 1;
        DeafThread thread([] {});
        TracedThreads traced;
        TracedThreads::Registers registers;
        if (traced.Hold(thread.tid(), Soon(), &registers) != Result::kRefused) {
          return 3;
        }
        const std::string why = TracedThreads::ToString(traced.refusal());
        if (why.find("ptrace(PTRACE_SEIZE) fails: Operation not "
                     "permitted (") == std::string::npos) {
          return 4;
        }
        return thread.GoesOn() ? 0 : 5;
      }),
      0);
}

TEST(TracedThreadsTest, AFilterThatEndsWhoTracesIsFoundOutBefore) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EXPECT_EQ(InAChild([] {
              if (!ForbidTracing(SECCOMP_RET_KILL_PROCESS)) return 1;
              DeafThread thread([] {});
              TracedThreads traced;
              TracedThreads::Registers registers;
              // Twice: what is known is not asked again.
              for (int i = 0; i < 2; ++i) {
                if (traced.Hold(thread.tid(), Soon(), &registers) !=
                    Result::kRefused) {
                  return 3;
                }
                const std::string why =
                    TracedThreads::ToString(traced.refusal());
                if (why.find("a seccomp filter ends the process") ==
                    std::string::npos) {
                  return 4;
                }
              }
              return thread.GoesOn() ? 0 : 5;
            }),
            0);
}

TEST(TracedThreadsTest, AChildHoldsNobody) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  DeafThread thread([] {});
  TracedThreads traced;
  TracedThreads::Registers registers;
  ASSERT_EQ(traced.Hold(thread.tid(), Soon(), &registers), Result::kHeld);
  EXPECT_EQ(InAChild([&] {
              if (TracedThreads::IsHeldByThisThread(thread.tid())) return 1;
              DeafThread own([] {});
              if (traced.Hold(own.tid(), Soon(), &registers) != Result::kHeld) {
                return 2;
              }
              traced.Release();
              return own.GoesOn() ? 0 : 3;
            }),
            0);
  EXPECT_TRUE(thread.StandsStill());
  traced.Release();
  EXPECT_TRUE(thread.GoesOn());
}

// By turns: each is released in the end, and nobody is refused.
TEST(TracedThreadsTest, SeveralThreadsHoldOthers) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  DeafThread thread([] {});
  std::atomic<int> wrong{0};
  std::vector<std::thread> holders;
  for (int i = 0; i < 3; ++i) {
    holders.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        TracedThreads traced;
        TracedThreads::Registers registers;
        if (traced.Hold(thread.tid(), Soon(), &registers) != Result::kHeld) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& holder : holders) holder.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(thread.GoesOn());
}

}  // namespace
}  // namespace instar
