// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/rendezvous.h"

#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/stack_walker.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/testing/functions_for_test.h"
#include "threads/update_point.h"
#include "threads/update_request.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace threads_test;  // NOLINT: the functions under test

RendezvousOptions WithLimit(std::chrono::nanoseconds limit) {
  RendezvousOptions options;
  options.limit = limit;
  return options;
}

Rendezvous HoldAll() {
  auto rendezvous = Rendezvous::HoldAll(WithLimit(std::chrono::seconds(60)));
  EXPECT_TRUE(rendezvous.ok()) << rendezvous.status();
  return *std::move(rendezvous);
}

void AwaitBegin(const ThreadRef& thread) {
  while (thread.state() == ThreadState::kNew) std::this_thread::yield();
}

// Threads that count without atomics' order: what is seen of them at a
// rendezvous is seen because of the rendezvous.
class Counting {
 public:
  explicit Counting(int threads) : counts_(threads) {
    for (int i = 0; i < threads; ++i) {
      threads_.push_back(StartPassiveThread("counting", [this, i] {
        while (!stop_) {
          ++counts_[i];
          UpdatePoint();
        }
      }));
    }
  }
  ~Counting() { stop_ = true; }
  long Sum() const {
    long sum = 0;
    for (const long count : counts_) sum += count;
    return sum;
  }

 private:
  std::vector<long> counts_;
  std::atomic<bool> stop_{false};
  std::list<ControlledThread> threads_;
};

TEST(RendezvousTest, NobodyMovesUntilItIsReleased) {
  Counting counting(8);
  for (int i = 0; i < 100; ++i) {
    Rendezvous rendezvous = HoldAll();
    ASSERT_EQ(rendezvous.threads().size(), 8u);
    for (const HeldThread& thread : rendezvous.threads()) {
      EXPECT_TRUE(IsStopped(thread.thread.state()) || thread.is_interrupted);
    }
    const long sum = counting.Sum();
    std::this_thread::yield();
    EXPECT_EQ(counting.Sum(), sum);
  }
}

TEST(RendezvousTest, StacksAreWalkable) {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("walked", [&stop] {
    CallThrough([&stop] {
      while (!stop) UpdatePoint();
    });
  });
  AwaitBegin(thread);
  const auto code = reinterpret_cast<std::uintptr_t>(&CallThrough);
  Rendezvous rendezvous = HoldAll();
  ASSERT_EQ(rendezvous.threads().size(), 1u);
  bool found = false;
  ASSERT_EQ(rendezvous.threads()[0].stacks.size(), 1u);
  EXPECT_TRUE(
      WalkStack(rendezvous.threads()[0].stacks[0], [&](const Frame& frame) {
        found |= frame.pc > code && frame.pc < code + 256;
        return true;
      }).complete());
  EXPECT_TRUE(found);
  stop = true;
}

TEST(RendezvousTest, BlockedThreadCountsAndWaitsWhenItsCallReturns) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<bool> inside{false}, left{false};
  ControlledThread thread = StartPassiveThread("blocked", [&] {
    Blocking([&] {
      char byte;
      const auto size = read(ends[0], &byte, 1);
      inside = true;
      return size;
    });
    left = true;
  });
  while (thread.state() != ThreadState::kBlocked) std::this_thread::yield();
  {
    Rendezvous rendezvous = HoldAll();
    EXPECT_FALSE(rendezvous.threads()[0].is_interrupted);
    EXPECT_FALSE(rendezvous.threads()[0].stacks.empty());
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    while (thread.state() != ThreadState::kHeld) std::this_thread::yield();
    EXPECT_TRUE(inside);
    EXPECT_FALSE(left);
  }
  thread.Join();
  EXPECT_TRUE(left);
  close(ends[0]);
  close(ends[1]);
}

TEST(RendezvousTest, TimeoutNamesWhoDidNotComeAndLetsEverybodyGo) {
  Counting counting(2);
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("stubborn", [&stop] {
    CallThrough([&stop] {
      while (!stop) {
      }
    });
  });
  AwaitBegin(thread);
  const auto rendezvous =
      Rendezvous::HoldAll(WithLimit(std::chrono::milliseconds(500)));
  ASSERT_FALSE(rendezvous.ok());
  EXPECT_EQ(rendezvous.status().code(), absl::StatusCode::kDeadlineExceeded);
  const std::string message(rendezvous.status().message());
  EXPECT_THAT(message, HasSubstr("'stubborn'"));
  EXPECT_THAT(message, testing::Not(HasSubstr("'counting'")));
#if !defined(__SANITIZE_THREAD__)  // It delivers no signal to running code.
  EXPECT_THAT(message, HasSubstr("CallThrough"));
#endif
  const long sum = [&] {
    std::vector<ThreadRef> threads = ControlledThreads("counting");
    auto held = Rendezvous::Hold(threads, WithLimit(std::chrono::seconds(60)));
    EXPECT_TRUE(held.ok()) << held.status();
    return counting.Sum();
  }();
  bool moved = false;
  while (!moved) {
    auto held = Rendezvous::Hold(ControlledThreads("counting"),
                                 WithLimit(std::chrono::seconds(60)));
    ASSERT_TRUE(held.ok()) << held.status();
    moved = counting.Sum() > sum;
  }
  stop = true;
}

TEST(RendezvousTest, ActiveThreadsAreHeldAtEntries) {
  std::atomic<bool> stop{false};
  ControlledThread a = StartActiveThread("a", [&] { StepUntil(stop); });
  ControlledThread b = StartActiveThread("b", [&] { StepUntil(stop); });
  for (int i = 0; i < 5; ++i) {
    Rendezvous rendezvous = HoldAll();
    EXPECT_EQ(rendezvous.threads().size(), 2u);
  }
  stop = true;
}

TEST(RendezvousTest, ThreadsThatStartAreHeldBeforeTheyBegin) {
  std::atomic<bool> ran{false};
  ControlledThread thread;
  {
    Rendezvous rendezvous = HoldAll();
    thread = StartPassiveThread("late", [&ran] { ran = true; });
    while (thread.state() != ThreadState::kHeld) std::this_thread::yield();
    EXPECT_FALSE(ran);
  }
  thread.Join();
  EXPECT_TRUE(ran);
}

// More than there is room for, and an active one, for which entries are to be
// intercepted: none of that was known when the first thread was held.
TEST(RendezvousTest, ManyThreadsStartWhileTheFirstIsAwaited) {
  std::atomic<bool> arrives{false}, stop{false};
  ControlledThread first = StartPassiveThread("first", [&] {
    while (!arrives) std::this_thread::yield();
    while (!stop) UpdatePoint();
  });
  AwaitBegin(first.ref());  // before that, it would count as stopped
  std::list<ControlledThread> later;
  std::thread starter([&] {
    // Asked by then: so it arrives, and later all others.
    const auto is_asked = [&] {
      threads_internal::ThreadRecord& record = *first.ref().record();
      std::lock_guard<std::mutex> lock(record.lock);
      return record.hold;
    };
    while (!is_asked()) std::this_thread::yield();
    for (int i = 0; i < 100; ++i) {
      later.push_back(StartPassiveThread("later", [&] {
        while (!stop) UpdatePoint();
      }));
    }
    later.push_back(StartActiveThread("active", [&] { StepUntil(stop); }));
    for (const ControlledThread& thread : later) AwaitBegin(thread.ref());
    arrives = true;
  });
  RendezvousOptions options = WithLimit(std::chrono::seconds(60));
  options.first = first.ref();
  options.first_limit = std::chrono::seconds(60);
  auto rendezvous = Rendezvous::HoldAll(options);
  starter.join();
  ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
  ASSERT_EQ(rendezvous->threads().size(), 102u);
  for (const HeldThread& thread : rendezvous->threads()) {
    EXPECT_TRUE(IsStopped(thread.thread.state()) || thread.is_interrupted);
    EXPECT_FALSE(thread.stacks.empty());
  }
  stop = true;
  rendezvous->Release();
}

TEST(RendezvousTest, ThreadsStartAndEndMeanwhile) {
  std::atomic<bool> stop{false};
  std::thread churn([&stop] {
    while (!stop) {
      ControlledThread thread =
          StartPassiveThread("short", [] { UpdatePoint(); });
    }
  });
  for (int i = 0; i < 100; ++i) HoldAll();
  stop = true;
  churn.join();
}

TEST(RendezvousTest, TwoQueueUp) {
  Counting counting(2);
  std::atomic<int> inside{0};
  const auto hold_often = [&inside] {
    for (int i = 0; i < 50; ++i) {
      Rendezvous rendezvous = HoldAll();
      EXPECT_EQ(++inside, 1);
      --inside;
    }
  };
  // Controlled ones, which hold each other, and one that is not.
  ControlledThread a = StartPassiveThread("a", hold_often);
  ControlledThread b = StartPassiveThread("b", hold_often);
  hold_often();
}

TEST(RendezvousTest, HeldFromTwoUpdateFunctions) {
  Counting counting(2);
  std::vector<UpdateRequest> requests;
  for (const ThreadRef& thread : ControlledThreads("counting")) {
    requests.push_back(SetUpdateFunction(thread, [](UpdateContext&) {
      HoldAll();
      return Attempt::Done();
    }));
  }
  for (UpdateRequest& request : requests) request.Trigger();
  for (UpdateRequest& request : requests) {
    EXPECT_TRUE(request.Await(std::chrono::seconds(60)).ok());
  }
}

std::atomic<int> g_signals{0};

// A handler could wait for what a held thread has.
TEST(RendezvousTest, SignalsOfTheHolderComeAfterTheRelease) {
  struct sigaction action = {}, before;
  action.sa_handler = [](int) { ++g_signals; };
  ASSERT_EQ(sigaction(SIGUSR2, &action, &before), 0);
  {
    Rendezvous rendezvous = HoldAll();
    pthread_kill(pthread_self(), SIGUSR2);
    EXPECT_EQ(g_signals, 0);
    rendezvous.Release();
    EXPECT_EQ(g_signals, 1);
  }
  pthread_kill(pthread_self(), SIGUSR2);
  EXPECT_EQ(g_signals, 2);
  ASSERT_EQ(sigaction(SIGUSR2, &before, nullptr), 0);
}

TEST(RendezvousTest, NoUpdateScopeIsWaitedFor) {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("scoped", [&stop] {
    NoUpdateScope no_update;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    while (!stop) UpdatePoint();
    close(ends[0]);
    close(ends[1]);
  });
  AwaitBegin(thread);
  EXPECT_EQ(Rendezvous::HoldAll(WithLimit(std::chrono::milliseconds(20)))
                .status()
                .code(),
            absl::StatusCode::kDeadlineExceeded);
  stop = true;
}

#if !defined(__SANITIZE_THREAD__)  // It delivers no signal to waiting threads.
TEST(RendezvousTest, SixteenThreadsInOneContendedLock) {
  std::mutex mutex;
  std::atomic<bool> stop{false};
  std::list<ControlledThread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.push_back(
        StartActiveThread("locked", [&] { StepInLock(mutex, stop); }));
  }
  for (const ControlledThread& thread : threads) AwaitBegin(thread);
  int held = 0;
  for (int i = 0; i < 100; ++i) {
    auto rendezvous = Rendezvous::HoldAll(WithLimit(std::chrono::seconds(60)));
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    EXPECT_EQ(rendezvous->threads().size(), 16u);
    ++held;
  }
  EXPECT_EQ(held, 100);
  stop = true;
}
#endif

// A request that sleeps and blocks in its middle is in one version.
TEST(RendezvousTest, AtANamedPointNoRequestIsInTwoVersions) {
  constexpr int kThreads = 4;
  constexpr int kRequests = 2500;
  int version = 0;  // guarded by the rendezvous
  std::atomic<int> mixed{0};
  std::atomic<int> done{0};
  std::list<ControlledThread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.push_back(StartPassiveThread("server", [&] {
      for (int request = 0; request < kRequests; ++request) {
        const int before = version;
        usleep(20);
        Blocking([] { usleep(20); });
        if (version != before) ++mixed;
        UpdatePoint("between requests");
      }
      ++done;
    }));
  }
  int changes = 0;
  while (done < kThreads) {
    RendezvousOptions options = WithLimit(std::chrono::seconds(60));
    options.point = "between requests";
    const auto rendezvous = Rendezvous::HoldAll(options);
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    ++version;
    ++changes;
  }
  EXPECT_EQ(mixed, 0) << "with " << changes << " changes";
}

TEST(RendezvousTest, ANamedPointWaitsForOtherBlockingRegions) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  RendezvousOptions options = WithLimit(std::chrono::milliseconds(20));
  options.point = "between requests";
  for (const bool named : {false, true}) {
    ControlledThread thread = StartPassiveThread("server", [&] {
      char byte;
      const auto wait = [&] { return read(ends[0], &byte, 1); };
      named ? Blocking("between requests", wait) : Blocking(wait);
    });
    while (thread.ref().state() != ThreadState::kBlocked) {
      std::this_thread::yield();
    }
    std::vector<MissingThread> missing;
    options.missing = &missing;
    {
      const auto rendezvous = Rendezvous::HoldAll(options);
      EXPECT_EQ(rendezvous.ok(), named) << rendezvous.status();
    }
    if (!named) {
      ASSERT_EQ(missing.size(), 1u);
      EXPECT_EQ(missing[0].thread.name(), "server");
      EXPECT_EQ(missing[0].state, ThreadState::kBlocked);
      EXPECT_FALSE(missing[0].functions.empty());
    }
    // One without a name takes either.
    EXPECT_TRUE(Rendezvous::HoldAll(WithLimit(std::chrono::seconds(60))).ok());
    ASSERT_EQ(write(ends[1], "x", 1), 1);
  }
  close(ends[0]);
  close(ends[1]);
}

// Whoever holds a rendezvous may need the lock that such a thread owns.
TEST(RendezvousTest, NobodyIsHeldWithTheLockOfTheDynamicLinker) {
  for (const bool blocks : {false, true}) {
    std::atomic<bool> stop{false};
    std::atomic<int> rounds{0};
    ControlledThread thread = StartPassiveThread("in callbacks", [&] {
      std::function<void()> body = [&] {
        for (int i = 0; i < 20; ++i) {
          if (blocks) {
            Blocking([] { usleep(50); });
          } else {
            UpdatePoint();
            usleep(50);
            UpdatePoint();
          }
        }
      };
      while (!stop) {
        dl_iterate_phdr(
            [](dl_phdr_info*, size_t, void* argument) {
              (*static_cast<std::function<void()>*>(argument))();
              return 1;
            },
            &body);
        UpdatePoint();
        ++rounds;
        usleep(500);  // that lock is not fair: others get it now
      }
    });
    while (rounds == 0) std::this_thread::yield();
    for (int i = 0; i < 20; ++i) {
      const Rendezvous rendezvous = HoldAll();
      // Takes that lock.
      dl_iterate_phdr([](dl_phdr_info*, size_t, void*) { return 0; }, nullptr);
    }
    stop = true;
  }
}

}  // namespace
}  // namespace instar
