// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that block every signal, as those of libzmq do: they do not stand in
// the way of changing what they are not in.

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "base/testing/child_process.h"
#include "base/testing/no_tracing.h"
#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

// Runs `body` with every signal blocked but `allowed`.
class DeafThread {
 public:
  explicit DeafThread(const std::function<void()>& body, int allowed = 0) {
    thread_ = std::thread([this, body, allowed] {
      pthread_setname_np(pthread_self(), "deaf");
      sigset_t blocked;
      sigfillset(&blocked);
      if (allowed != 0) sigdelset(&blocked, allowed);
      pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
      tid_ = static_cast<pid_t>(syscall(SYS_gettid));
      body();
    });
    while (tid_ == 0) std::this_thread::yield();
  }
  ~DeafThread() { Join(); }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  pid_t tid() const { return tid_; }

 private:
  std::atomic<pid_t> tid_{0};
  std::thread thread_;
};

// Waits for events and works on them, as an I/O thread of libzmq.
class EventLoop {
 public:
  EventLoop() {
    epoll_event wanted = {};
    wanted.events = EPOLLIN;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &wanted);
    thread_.emplace([this] { Run(); });
  }
  ~EventLoop() {
    stop_ = true;
    Post();
    thread_.reset();
    close(epoll_);
    close(event_);
  }
  void Post() {
    const std::uint64_t one = 1;
    EXPECT_EQ(write(event_, &one, sizeof(one)),
              static_cast<ssize_t>(sizeof(one)));
  }
  void AwaitEvents(std::uint64_t count) const {
    while (events_ < count) std::this_thread::yield();
  }
  bool failed() const { return failed_; }

 private:
  void Run() {
    while (!stop_) {
      epoll_event got;
      const int count = epoll_wait(epoll_, &got, 1, -1);
      if (count < 0 && errno != EINTR) failed_ = true;
      std::uint64_t events = 0;
      if (count == 1 && read(event_, &events, sizeof(events)) > 0) {
        events_ += events;
      }
    }
  }

  const int event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
  std::atomic<std::uint64_t> events_{0};
  std::optional<DeafThread> thread_;
};

template <typename Try>
bool IsDone(Try attempt) {
  while (true) {
    const Attempt answer = attempt();
    if (answer.is_done()) return true;
    EXPECT_TRUE(answer.is_not_yet()) << answer.reason();
    if (answer.is_failed()) return false;
    std::this_thread::yield();
  }
}

TEST(DeafThreadsTest, AnEventLoopIsNotInTheWay) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EventLoop loop;
  std::uint64_t posted = 0;
  for (const Stacks stacks :
       {Stacks::kAllThreads, Stacks::kControlledThreads, Stacks::kThisThread}) {
    Change update(Redefine(&Price, &Price2), stacks);
    for (int round = 0; round < 20; ++round) {
      ASSERT_TRUE(IsDone([&] { return update.Apply(); }));
      EXPECT_EQ(Price(7), 207);
      loop.Post();
      loop.AwaitEvents(++posted);
      ASSERT_TRUE(IsDone([&] { return update.Undo(); }));
      EXPECT_EQ(Price(7), 107);
    }
  }
  EXPECT_FALSE(loop.failed());
}

// Code is then changed under traps, which would kill a deaf thread.
TEST(DeafThreadsTest, AnEventLoopAndATimer) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EventLoop loop;
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = [](sigval) {};
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  Change update(Redefine(&Price, &Price2), Stacks::kAllThreads);
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(IsDone([&] { return update.Apply(); }));
    EXPECT_EQ(Price(7), 207);
    ASSERT_TRUE(IsDone([&] { return update.Undo(); }));
    EXPECT_EQ(Price(7), 107);
  }
  timer_delete(timer);
}

TEST(DeafThreadsTest, OneThatIsInTheFunctionIsNamed) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> is_inside{false};
  std::atomic<bool> leave{false};
  int result = 0;
  DeafThread deaf([&] {
    result = Depth(100, [&] {
      is_inside = true;
      while (!leave) std::this_thread::yield();
    });
  });
  while (!is_inside) std::this_thread::yield();
  Change update(Redefine(&Depth, &Depth2), Stacks::kAllThreads);
  std::string reason;
  while (reason.find("active: ") == std::string::npos) {
    const Attempt attempt = update.Apply();
    ASSERT_TRUE(attempt.is_not_yet()) << attempt.reason();
    reason = attempt.reason();
  }
  EXPECT_THAT(reason, AllOf(HasSubstr("Depth"), HasSubstr("thread 'deaf' (")));
  leave = true;
  deaf.Join();
  EXPECT_EQ(result, 100);
  EXPECT_TRUE(IsDone([&] { return update.Apply(); }));
  EXPECT_EQ(Depth(2, [] {}), -2);
  EXPECT_TRUE(IsDone([&] { return update.Undo(); }));
}

std::atomic<int> taken{0};

// It calls what is changed, all the while, and gets signals.
TEST(DeafThreadsTest, OneThatCallsTheFunction) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  const int allowed = SIGRTMIN + 3;
  struct sigaction action = {};
  action.sa_handler = [](int) { ++taken; };
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(allowed, &action, nullptr), 0);
  volatile bool stop = false;
  long wrong = 0;
  DeafThread deaf([&] { wrong = CallPrice(&stop); }, allowed);
  int sent = 0;
  for (const Stacks stacks : {Stacks::kThisThread, Stacks::kAllThreads}) {
    Change update(Redefine(&Price, &Price2), stacks);
    // The latter has to wait until the thread is not in the function.
    const int rounds = stacks == Stacks::kThisThread ? 500 : 50;
    for (int round = 0; round < rounds; ++round) {
      if (tgkill(getpid(), deaf.tid(), allowed) == 0) ++sent;
      ASSERT_TRUE(IsDone([&] { return update.Apply(); }));
      if (tgkill(getpid(), deaf.tid(), allowed) == 0) ++sent;
      ASSERT_TRUE(IsDone([&] { return update.Undo(); }));
    }
  }
  while (taken < sent) std::this_thread::yield();
  stop = true;
  deaf.Join();
  EXPECT_EQ(taken, sent);
  EXPECT_EQ(wrong, 0);
}

// Where the kernel does not allow it, it is refused by name.
TEST(DeafThreadsTest, AKernelThatForbidsTracing) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EXPECT_EQ(
      InAChild([] {
        if (!ForbidTracing()) return 1;
        EventLoop loop;
        Change update = Change(Redefine(&Price, &Price2), Stacks::kAllThreads);
        Attempt attempt = update.Apply();
        EXPECT_TRUE(attempt.is_not_yet());
        EXPECT_THAT(attempt.reason(),
                    AllOf(HasSubstr("thread 'deaf' ("),
                          HasSubstr("did not stop"), HasSubstr("blocks signal"),
                          HasSubstr("it cannot be traced (ptrace(PTRACE_SEIZE) "
                                    "fails: Operation not permitted ("),
                          HasSubstr("let it unblock InterruptionSignal()")));
        Change other = Change(Redefine(&Price, &Price2), Stacks::kThisThread);
        attempt = other.Apply();
        EXPECT_TRUE(attempt.is_failed());
        EXPECT_THAT(
            attempt.reason(),
            AllOf(HasSubstr("thread 'deaf' ("), HasSubstr("blocks SIGTRAP"),
                  HasSubstr("ptrace(PTRACE_SEIZE): Operation not "
                            "permitted; unblock the signal there")));
        EXPECT_EQ(Price(7), 107);
        std::fflush(stdout);
        return testing::Test::HasFailure() ? 2 : 0;
      }),
      0);
}

// Nor can the thread that starts those of timers be helped by the program.
TEST(DeafThreadsTest, ATimerWhereTheKernelForbidsTracing) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EXPECT_EQ(
      InAChild([] {
        if (!ForbidTracing()) return 1;
        sigevent event = {};
        event.sigev_notify = SIGEV_THREAD;
        event.sigev_notify_function = [](sigval) {};
        timer_t timer;
        if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return 3;
        const auto says_what_helps =
            AllOf(HasSubstr("ptrace(PTRACE_SEIZE)"),
                  HasSubstr("of timers (SIGEV_THREAD)"),
                  HasSubstr("SIGEV_SIGNAL, timerfd_create"),
                  testing::Not(HasSubstr("unblock")));
        Change update = Change(Redefine(&Price, &Price2), Stacks::kAllThreads);
        Attempt attempt = update.Apply();
        EXPECT_TRUE(attempt.is_not_yet());
        EXPECT_THAT(attempt.reason(), says_what_helps);
        Change other = Change(Redefine(&Price, &Price2), Stacks::kThisThread);
        attempt = other.Apply();
        EXPECT_TRUE(attempt.is_failed());
        EXPECT_THAT(attempt.reason(), says_what_helps);
        EXPECT_EQ(Price(7), 107);
        std::fflush(stdout);
        return testing::Test::HasFailure() ? 2 : 0;
      }),
      0);
}

}  // namespace
}  // namespace instar
