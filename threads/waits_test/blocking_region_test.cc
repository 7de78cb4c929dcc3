// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/blocking_region.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/testing/functions_for_test.h"
#include "threads/thread_ref.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "threads/waits_test/blocked_threads.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace threads_test;  // NOLINT: the functions under test

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe(ends_), 0); }
  ~Pipe() {
    close(ends_[0]);
    close(ends_[1]);
  }
  void Write(char byte) { EXPECT_EQ(write(ends_[1], &byte, 1), 1); }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }

 private:
  int ends_[2];
};

TEST(BlockingRegionTest, RebootOutOfAccept) {
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sa_family_t family = AF_UNIX;
  ASSERT_EQ(
      bind(listener, reinterpret_cast<sockaddr*>(&family), sizeof(family)), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  for (const ThreadKind kind : {ThreadKind::kActive, ThreadKind::kPassive}) {
    ExpectRebootOutOf(kind, [listener] {
      Blocking([listener] { return accept(listener, nullptr, nullptr); });
    });
  }
  close(listener);
}

TEST(BlockingRegionTest, RebootOutOfSleep) {
  ExpectRebootOutOf(ThreadKind::kPassive, [] { SleepFor(kForEver); });
}

TEST(BlockingRegionTest, NoexceptCallerIsNotInterrupted) {
  Pipe pipe;
  std::atomic<int> result{0};
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartPassiveThread("noexcept", [&] {
    CallThroughNoexcept([&] {
      char byte;
      result = static_cast<int>(
          Blocking([&] { return read(pipe.read_end(), &byte, 1); }));
    });
    std::atomic<bool> never{false};
    while (!never) UpdatePoint();
  });
  AwaitBlocked(thread);
  UpdateRequest request = StartReboot(thread, [&] { rebooted = true; });
  while (request.reason().empty()) std::this_thread::yield();
  EXPECT_THAT(request.reason(), HasSubstr("CallThroughNoexcept"));
  EXPECT_EQ(thread.state(), ThreadState::kBlocked);
  pipe.Write('x');
  EXPECT_TRUE(request.Await(kLimit).ok());
  thread.Join();
  EXPECT_EQ(result, 1);
  EXPECT_TRUE(rebooted);
}

// An update that interrupts the call and then does not reboot.
TEST(BlockingRegionTest, CallThatWasInterruptedForNothingGoesOn) {
  Pipe pipe;
  std::atomic<int> calls{0}, result{0};
  ControlledThread thread = StartPassiveThread("reader", [&] {
    char byte;
    result = static_cast<int>(Blocking([&] {
      ++calls;
      return read(pipe.read_end(), &byte, 1);
    }));
  });
  AwaitBlocked(thread);
  UpdateOptions options;
  options.interrupt_blocking_calls = true;
  UpdateRequest request = SetUpdateFunction(
      thread, [](UpdateContext&) { return Attempt::Done(); }, options);
  request.Trigger();
  EXPECT_TRUE(request.Await(kLimit).ok());
  while (calls < 2) std::this_thread::yield();
  pipe.Write('x');
  thread.Join();
  EXPECT_EQ(result, 1);
}

// As daemon(7) advises. The signal that interrupts would end the process.
TEST(BlockingRegionTest, AProgramThatResetsAllSignalsIsNotEnded) {
  for (int round = 0; round < 2; ++round) {
    ExpectRebootOutOf(ThreadKind::kPassive, [] { SleepFor(kForEver); });
    Pipe pipe;
    ExpectRebootOutOf(ThreadKind::kPassive, [&] {
      char byte;
      Blocking([&] { return read(pipe.read_end(), &byte, 1); });
    });
    for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) {
      signal(number, SIG_DFL);
    }
  }
}

TEST(BlockingRegionTest, OrdinaryUpdatesLeaveTheCallAlone) {
  Pipe pipe;
  std::atomic<int> calls{0};
  ControlledThread thread = StartPassiveThread("reader", [&] {
    char byte;
    Blocking([&] {
      ++calls;
      return read(pipe.read_end(), &byte, 1);
    });
    UpdatePoint();
  });
  AwaitBlocked(thread);
  UpdateRequest request =
      SetUpdateFunction(thread, [](UpdateContext&) { return Attempt::Done(); });
  request.Trigger();
  EXPECT_FALSE(request.Await(std::chrono::milliseconds(20)).ok());
  EXPECT_EQ(request.attempts(), 0);
  pipe.Write('x');
  EXPECT_TRUE(request.Await(kLimit).ok());
  EXPECT_EQ(calls, 1);
}

std::atomic<int> g_signals{0};
void Count(int) { ++g_signals; }

// The program's own signals: EINTR without SA_RESTART, none with it.
TEST(BlockingRegionTest, SignalsOfTheProgramAreAsBefore) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  for (const bool restart : {false, true}) {
    struct sigaction action = {}, before;
    action.sa_handler = &Count;
    action.sa_flags = restart ? SA_RESTART : 0;
    ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
    Pipe pipe;
    std::atomic<bool> returned{false};
    ssize_t result = 0;
    int error = 0;
    std::atomic<pthread_t> self{};
    ControlledThread thread = StartPassiveThread("reader", [&] {
      self = pthread_self();
      char byte;
      result = Blocking([&] { return read(pipe.read_end(), &byte, 1); });
      error = errno;
      returned = true;
    });
    AwaitBlocked(thread);
    if (restart) {
      const int signals = g_signals;
      pthread_kill(self.load(), SIGUSR1);
      while (g_signals == signals) std::this_thread::yield();
      pipe.Write('x');
      thread.Join();
      EXPECT_EQ(result, 1);
    } else {
      while (!returned) {
        pthread_kill(self.load(), SIGUSR1);
        std::this_thread::yield();
      }
      thread.Join();
      EXPECT_EQ(result, -1);
      EXPECT_EQ(error, EINTR);
    }
    ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
  }
}

TEST(BlockingRegionTest, LimitsErrorsAndExceptionsPass) {
  ControlledThread thread = StartPassiveThread("errors", [] {
    const auto begin = std::chrono::steady_clock::now();
    SleepFor(std::chrono::milliseconds(2));
    EXPECT_GE(std::chrono::steady_clock::now() - begin,
              std::chrono::milliseconds(2));
    std::mutex mutex;
    std::condition_variable condition;
    std::unique_lock<std::mutex> lock(mutex);
    EXPECT_FALSE(WaitFor(condition, lock, std::chrono::milliseconds(2),
                         [] { return false; }));
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_EQ(Blocking([] { return read(-1, nullptr, 0); }), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_THROW(Blocking([]() -> int { throw std::runtime_error("out"); }),
                 std::runtime_error);
    EXPECT_EQ(ThisControlledThread()->state(), ThreadState::kRunning);
    auto pointer = Blocking([] { return std::make_unique<int>(3); });
    EXPECT_EQ(*pointer, 3);
    NoUpdateScope no_update;
    Blocking([] {
      EXPECT_EQ(ThisControlledThread()->state(), ThreadState::kRunning);
    });
  });
  thread.Join();
  EXPECT_EQ(Blocking([] { return 4; }), 4);  // not a controlled thread
}

// Calls `call` in a blocking region of a thread that is interrupted for an
// update meanwhile; returns how often it was called.
template <typename Result>
int CallsWhenInterrupted(Result result, int error) {
  std::atomic<bool> updated{false};
  std::atomic<int> calls{0};
  ControlledThread thread = StartPassiveThread("caller", [&] {
    errno = EDOM;
    const Result got = Blocking([&]() -> Result {
      if (++calls > 1) return result;
      pollfd none = {-1, 0, 0};
      EXPECT_EQ(poll(&none, 1, -1), -1);  // until it is interrupted
      errno = error;
      return result;
    });
    EXPECT_EQ(got, result);
    // A call that does not touch errno keeps it.
    if (error == 0) {
      EXPECT_EQ(errno, EDOM);
    }
    while (!updated) UpdatePoint();
  });
  AwaitBlocked(thread);
  UpdateOptions options;
  options.interrupt_blocking_calls = true;
  UpdateRequest request = SetUpdateFunction(
      thread.ref(), [](UpdateContext&) { return Attempt::Done(); }, options);
  request.Trigger();
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  updated = true;
  thread.Join();
  return calls;
}

TEST(BlockingRegionTest, OnlyAFailureIsRepeated) {
  EXPECT_EQ(CallsWhenInterrupted<int>(-1, EINTR), 2);
  EXPECT_EQ(CallsWhenInterrupted<ssize_t>(-1, EINTR), 2);
  // Successes that leave errno as an earlier call set it.
  EXPECT_EQ(CallsWhenInterrupted<bool>(true, EINTR), 1);
  EXPECT_EQ(CallsWhenInterrupted<unsigned char>(255, EINTR), 1);
  EXPECT_EQ(CallsWhenInterrupted<std::uint64_t>(~0ull, EINTR), 1);
  EXPECT_EQ(CallsWhenInterrupted<int>(-1, 0), 1);
  EXPECT_EQ(CallsWhenInterrupted<int>(5, EINTR), 1);
}

TEST(BlockingRegionTest, RebootOutOfAwaitReadableLosesNothing) {
  Pipe pipe;
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartPassiveThread("reader", [&] {
    AwaitReadable(pipe.read_end());
    ADD_FAILURE() << "it was not rebooted";
  });
  AwaitBlocked(thread);
  char byte = 0;
  UpdateRequest request = StartReboot(thread, [&] {
    rebooted = true;
    AwaitReadable(pipe.read_end());
    EXPECT_EQ(read(pipe.read_end(), &byte, 1), 1);
  });
  EXPECT_TRUE(request.Await(kLimit).ok()) << request.reason();
  pipe.Write('x');
  thread.Join();
  EXPECT_TRUE(rebooted);
  EXPECT_EQ(byte, 'x');
}

TEST(BlockingRegionTest, AwaitReadableGoesOnAfterSignalsAndEndsAtErrors) {
  struct sigaction action = {}, before;
  action.sa_handler = [](int) { ++g_signals; };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  Pipe pipe;
  std::atomic<bool> returned{false};
  std::atomic<pthread_t> self{};
  ControlledThread thread = StartPassiveThread("reader", [&] {
    self = pthread_self();
    errno = EDOM;
    AwaitReadable(pipe.read_end());
    returned = true;
    EXPECT_EQ(errno, EDOM);
    EXPECT_TRUE(
        AwaitReadableFor(pipe.read_end(), std::chrono::nanoseconds::max()));
    AwaitWritable(pipe.write_end());
    EXPECT_FALSE(AwaitWritableFor(pipe.read_end(), std::chrono::seconds(0)));
    AwaitReadable(1 << 20);  // read() says that it is none
  });
  AwaitBlocked(thread);
  for (int i = 0; i < 3; ++i) {
    const int signals = g_signals;
    pthread_kill(self.load(), SIGUSR1);
    while (g_signals == signals) std::this_thread::yield();
  }
  AwaitBlocked(thread);
  EXPECT_FALSE(returned);
  pipe.Write('x');
  thread.Join();
  EXPECT_TRUE(returned);
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

}  // namespace
}  // namespace instar
