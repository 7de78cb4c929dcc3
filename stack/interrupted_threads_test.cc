// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/interrupted_threads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/linux/tasks.h"
#include "gtest/gtest.h"
#include "stack/interrupted_thread.h"
#include "stack/stack_walker.h"

namespace instar {
namespace {

using State = InterruptedThreads::State;

// Long enough for a busy machine; a test that passes does not wait for it.
constexpr std::chrono::seconds kLong(60);
constexpr int kMany = 2000;

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// Many threads, with small stacks, that all run `body`.
class Threads {
 public:
  Threads(int count, std::function<void()> body) : body_(std::move(body)) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    threads_.resize(static_cast<std::size_t>(count));
    tids_.reserve(static_cast<std::size_t>(count));
    for (pthread_t& thread : threads_) {
      const int error = pthread_create(
          &thread, &attributes,
          [](void* self) -> void* {
            static_cast<Threads*>(self)->Run();
            return nullptr;
          },
          this);
      EXPECT_EQ(error, 0);
    }
    pthread_attr_destroy(&attributes);
    while (begun_ < count) std::this_thread::yield();
  }
  void Join() {
    for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
  }
  const std::vector<pid_t>& tids() const { return tids_; }

 private:
  void Run() {
    {
      std::lock_guard<std::mutex> lock(lock_);
      tids_.push_back(ThreadId());
    }
    ++begun_;
    body_();
  }

  const std::function<void()> body_;
  std::mutex lock_;
  std::vector<pid_t> tids_;
  std::atomic<int> begun_{0};
  std::vector<pthread_t> threads_;
};

// All are held, each stack can be walked, twice.
void HoldAll(const Threads& others) {
  for (int round = 0; round < 2; ++round) {
    InterruptedThreads held;
    for (const pid_t tid : others.tids()) ASSERT_TRUE(held.Add(tid));
    ASSERT_TRUE(held.Hold(kLong));
    EXPECT_EQ(held.held(), others.tids().size());
    for (const auto& thread : held) {
      EXPECT_EQ(thread.state, State::kHeld);
      const WalkResult result =
          WalkStack(thread.snapshot, [](const Frame&) { return true; });
      EXPECT_TRUE(result.complete()) << result.ToString();
    }
  }
}

TEST(InterruptedThreadsTest, ManyInRead) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Threads others(kMany, [&] {
    char byte;
    EXPECT_EQ(read(ends[0], &byte, 1), 0);
  });
  HoldAll(others);
  close(ends[1]);
  others.Join();
  close(ends[0]);
}

TEST(InterruptedThreadsTest, ManyInEpollWait) {
  const int set = epoll_create1(EPOLL_CLOEXEC);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  epoll_event event = {};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
  Threads others(kMany, [&] {
    epoll_event got;
    while (epoll_wait(set, &got, 1, -1) < 0) ASSERT_EQ(errno, EINTR);
  });
  HoldAll(others);
  close(ends[1]);
  others.Join();
  close(ends[0]);
  close(set);
}

TEST(InterruptedThreadsTest, ManyInAContendedLock) {
  std::mutex lock;
  lock.lock();
  Threads others(kMany, [&] { std::lock_guard<std::mutex> guard(lock); });
  HoldAll(others);
  lock.unlock();
  others.Join();
}

TEST(InterruptedThreadsTest, OneIsHeldOnceAndTheCallerNever) {
  std::atomic<bool> stop{false};
  Threads others(3, [&] {
    while (!stop) std::this_thread::yield();
  });
  InterruptedThreads held;
  for (int round = 0; round < 3; ++round) {
    for (const pid_t tid : others.tids()) {
      held.Add(tid);
      held.Add(tid);
    }
    held.Add(ThreadId());
    ASSERT_TRUE(held.Hold(kLong));
    EXPECT_EQ(held.size(), 3u);
    EXPECT_EQ(held.held(), 3u);
  }
  // One that was let go is held again when it is added again.
  held.Release(*held.begin());
  EXPECT_EQ(held.held(), 2u);
  ASSERT_TRUE(held.Hold(kLong));
  EXPECT_EQ(held.held(), 2u);
  held.Add(held.begin()->tid);
  ASSERT_TRUE(held.Hold(kLong));
  EXPECT_EQ(held.held(), 3u);
  EXPECT_EQ(held.Find(ThreadId()), nullptr);
  EXPECT_EQ(held.Find(others.tids()[1])->state, State::kHeld);
  held.Release();
  EXPECT_EQ(held.size(), 0u);
  stop = true;
  others.Join();
}

TEST(InterruptedThreadsTest, WhatCannotBeHeldIsSaidOfEach) {
  std::atomic<bool> stop{false};
  std::atomic<int> blocked{0};
  ASSERT_TRUE(InterruptionSignal().ok());
  Threads deaf(2, [&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    ++blocked;
    while (!stop) std::this_thread::yield();
  });
  Threads others(2, [&] {
    while (!stop) std::this_thread::yield();
  });
  while (blocked < 2) std::this_thread::yield();
  InterruptedThreads held;
  for (const pid_t tid : deaf.tids()) held.Add(tid);
  for (const pid_t tid : others.tids()) held.Add(tid);
  held.Add(getppid());  // of another process
  ASSERT_TRUE(held.Hold(std::chrono::seconds(2)));
  EXPECT_EQ(held.Find(getppid())->state, State::kEnded);
  for (const pid_t tid : deaf.tids()) {
    EXPECT_EQ(held.Find(tid)->state, State::kNotTaken);
  }
  for (const pid_t tid : others.tids()) {
    EXPECT_EQ(held.Find(tid)->state, State::kHeld);
  }
  held.Release();
  stop = true;
  deaf.Join();
  others.Join();
}

// Whether a signal waits for the thread.
bool IsPending(pid_t tid, int signal) {
  std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("SigPnd:", 0) == 0) {
      return (std::stoull(line.substr(7), nullptr, 16) >> (signal - 1) & 1) !=
             0;
    }
  }
  return false;
}

TEST(InterruptedThreadsTest, WhoIsKnownToBlockTheSignalIsSentNone) {
  std::atomic<bool> stop{false};
  std::atomic<int> blocked{0};
  ASSERT_TRUE(InterruptionSignal().ok());
  Threads others(3, [&] {
    while (!stop) std::this_thread::yield();
  });
  Threads deaf(2, [&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    ++blocked;
    while (!stop) std::this_thread::yield();
  });
  while (blocked < 2) std::this_thread::yield();
  for (int round = 0; round < 2; ++round) {
    InterruptedThreads::FindDeaf();
    InterruptedThreads held;
    for (const pid_t tid : deaf.tids()) held.Add(tid);
    for (const pid_t tid : others.tids()) held.Add(tid);
    ASSERT_TRUE(held.Hold(kLong, InterruptedThreads::Deaf::kTrace));
    for (const pid_t tid : others.tids()) {
      EXPECT_EQ(held.Find(tid)->state, State::kHeld);
    }
    for (const pid_t tid : deaf.tids()) {
      EXPECT_FALSE(IsPending(tid, *InterruptionSignal()));
    }
  }
  stop = true;
  others.Join();
  deaf.Join();
}

// It blocks every signal.
TEST(InterruptedThreadsTest, TheThreadOfTimersIsTraced) {
  ASSERT_TRUE(InterruptionSignal().ok());
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = [](sigval) {};
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  for (int round = 0; round < 3; ++round) {
    InterruptedThreads held;
    VisitTasks([&](pid_t tid) { return held.Add(tid); });
    ASSERT_TRUE(held.Hold(kLong, InterruptedThreads::Deaf::kTrace));
    EXPECT_EQ(held.size(), 1u);
    for (const auto& thread : held) {
      EXPECT_EQ(thread.state, State::kHeld);
      EXPECT_TRUE(thread.is_traced);
    }
  }
  timer_delete(timer);
}

// Many who stop many at once: nobody waits for somebody whom it has stopped
// itself, or who has stopped it. Before requests were claimed without a lock,
// this stood still for ever.
TEST(InterruptedThreadsTest, ThreadsThatInterruptEachOther) {
  constexpr int kThreads = 8;
  std::atomic<int> ready{0};
  std::atomic<int> done{0};
  std::vector<std::atomic<pid_t>> tids(kThreads);
  std::vector<std::thread> threads;
  for (int self = 0; self < kThreads; ++self) {
    threads.emplace_back([&, self] {
      tids[static_cast<std::size_t>(self)] = ThreadId();
      ++ready;
      while (ready < kThreads) std::this_thread::yield();
      std::vector<char> room(64 << 10);
      for (int round = 0; round < 300; ++round) {
        if ((round + self) % 3 == 0) {
          InterruptedThreads held;
          for (const auto& tid : tids) held.Add(tid);
          EXPECT_TRUE(held.Hold(kLong));
          EXPECT_EQ(held.held(), kThreads - 1u);
          continue;
        }
        // Of one that has ended, too.
        std::atomic<pid_t> ended{0};
        std::thread([&] { ended = ThreadId(); }).join();
        EXPECT_FALSE(CopyThread(ended, kLong, room.data(), room.size()).ok());
        const auto other = static_cast<std::size_t>(self + 1) % kThreads;
        const auto copy =
            CopyThread(tids[other], kLong, room.data(), room.size());
        EXPECT_TRUE(copy.ok()) << copy.status();
      }
      ++done;
      while (done < kThreads) std::this_thread::yield();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(InterruptedThreadsTest, AChildHoldsNobody) {
  std::atomic<bool> stop{false};
  Threads others(2, [&] {
    while (!stop) std::this_thread::yield();
  });
  InterruptedThreads held;
  held.Add(others.tids()[0]);
  ASSERT_TRUE(held.Hold(kLong));
  auto one = InterruptedThread::Hold(others.tids()[1], kLong);
  ASSERT_TRUE(one.ok()) << one.status();
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<bool> child_stop{false};
    std::atomic<pid_t> tid{0};
    std::thread other([&] {
      tid = ThreadId();
      while (!child_stop) std::this_thread::yield();
    });
    while (tid == 0) std::this_thread::yield();
    // Also on another thread than that which held.
    bool is_held = false;
    std::thread([&] {
      is_held = InterruptedThread::Hold(tid, kLong).ok();
    }).join();
    // What its parent held is nothing to it, and its own turn remains.
    InterruptedThreads own;
    own.Add(tid);
    const bool own_is_held = own.Hold(kLong) && own.held() == 1;
    held.Release();
    own.Release();
    one->Release();
    std::thread([&] {
      is_held = is_held && InterruptedThread::Hold(tid, kLong).ok();
    }).join();
    child_stop = true;
    other.join();
    _exit(is_held && own_is_held ? 0 : 1);
  }
  one->Release();
  held.Release();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  stop = true;
  others.Join();
}

}  // namespace
}  // namespace instar
