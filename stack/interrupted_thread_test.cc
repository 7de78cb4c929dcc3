// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/interrupted_thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/linux/translator.h"
#include "base/unwind_table.h"
#include "continuation/continulet.h"
#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "stack/testing/walk_cases.h"

namespace instar {
namespace {

// Long enough for a busy machine; a test that passes does not wait for it.
constexpr std::chrono::seconds kLong(60);
// Not to be reached by anyone.
constexpr std::chrono::milliseconds kShort(5);

// How often something is tried. A translator (qemu's user mode) delivers a few
// signals a second to a thread that computes.
int Rounds(int rounds) { return IsTranslated() ? rounds / 20 : rounds; }

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// A thread that runs `body` and has told its number.
class OtherThread {
 public:
  explicit OtherThread(std::function<void()> body)
      : thread_([this, body = std::move(body)] {
          tid_ = ThreadId();
          body();
        }) {
    while (tid_ == 0) std::this_thread::yield();
  }
  ~OtherThread() { thread_.join(); }

  pid_t tid() const { return tid_; }

 private:
  std::atomic<pid_t> tid_{0};
  std::thread thread_;
};

struct Seen {
  WalkResult result;
  bool frame_found = false;  // of UnoptimizedFrame()
};

Seen Look(const StackSnapshot& snapshot) {
  UnwindEntry wanted;
  EXPECT_EQ(FindUnwindEntry(reinterpret_cast<std::uintptr_t>(&UnoptimizedFrame),
                            &wanted),
            UnwindLookup::kFound);
  Seen seen;
  seen.result = WalkStack(snapshot, [&](const Frame& frame) {
    if (frame.lookup_pc >= wanted.start && frame.lookup_pc < wanted.end) {
      seen.frame_found = true;
    }
    return true;
  });
  return seen;
}

TEST(InterruptedThreadTest, AThreadThatRuns) {
  std::atomic<bool> stop{false};
  std::atomic<bool> inside{false};
  std::atomic<std::uint64_t> turns{0};
  OtherThread other([&] {
    UnoptimizedFrame([&] {
      inside = true;
      while (!stop) turns.fetch_add(1, std::memory_order_relaxed);
    });
  });
  while (!inside) std::this_thread::yield();
  for (int i = 0; i < Rounds(2000); ++i) {
    auto thread = InterruptedThread::Hold(other.tid(), kLong);
    ASSERT_TRUE(thread.ok()) << thread.status();
    const std::uint64_t before = turns;
    const Seen seen = Look(thread->snapshot());
    EXPECT_TRUE(seen.result.complete()) << seen.result.ToString();
    EXPECT_TRUE(seen.frame_found);
    EXPECT_EQ(turns, before) << "it ran while it was held";
    thread->Release();
    thread->Release();
  }
  const std::uint64_t before = turns;
  while (turns == before) std::this_thread::yield();  // it goes on
  stop = true;
}

// Calls nothing, so that a processor which keeps return addresses in a register
// saves none.
__attribute__((noinline)) std::uint64_t CountWithoutACall(
    const volatile int& turns) {
  std::uint64_t count = 0;
  for (int i = 0; i < turns; ++i) count += static_cast<std::uint64_t>(i);
  return count;
}

__attribute__((noinline)) std::uint64_t CountTwice(const volatile int& turns) {
  return CountWithoutACall(turns) + CountWithoutACall(turns);
}

// Wherever it is: before it has saved where it returns to, when it has taken
// that back, or where it never does.
TEST(InterruptedThreadTest, AFunctionThatHasSavedNothing) {
  std::atomic<bool> stop{false};
  std::atomic<bool> inside{false};
  std::uint64_t sum = 0;
  OtherThread other([&] {
    UnoptimizedFrame([&] {
      inside = true;
      const volatile int few = 1;
      const volatile int many = 1000;
      while (!stop) {
        for (int i = 0; i < 50; ++i) sum += CountTwice(few);
        sum += CountWithoutACall(many);
      }
    });
  });
  while (!inside) std::this_thread::yield();
  UnwindEntry leaf;
  ASSERT_EQ(FindUnwindEntry(
                reinterpret_cast<std::uintptr_t>(&CountWithoutACall), &leaf),
            UnwindLookup::kFound);
  int in_leaf = 0;
  for (int i = 0; i < Rounds(2000) || in_leaf == 0; ++i) {
    auto thread = InterruptedThread::Hold(other.tid(), kLong);
    ASSERT_TRUE(thread.ok()) << thread.status();
    const std::uintptr_t pc = thread->snapshot().pc;
    in_leaf += pc >= leaf.start && pc < leaf.end ? 1 : 0;
    const Seen seen = Look(thread->snapshot());
    ASSERT_TRUE(seen.result.complete()) << seen.result.ToString();
    ASSERT_TRUE(seen.frame_found) << std::hex << pc;
  }
  stop = true;
}

TEST(InterruptedThreadTest, AThreadThatWaitsInASystemCall) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ssize_t got = -1;
  std::atomic<bool> inside{false};
  {
    OtherThread other([&] {
      UnoptimizedFrame([&] {
        char byte;
        inside = true;
        got = read(ends[0], &byte, 1);
      });
    });
    while (!inside) std::this_thread::yield();
    for (int i = 0; i < 100; ++i) {
      auto thread = InterruptedThread::Hold(other.tid(), kLong);
      ASSERT_TRUE(thread.ok()) << thread.status();
      const Seen seen = Look(thread->snapshot());
      EXPECT_TRUE(seen.result.complete()) << seen.result.ToString();
      EXPECT_TRUE(seen.frame_found);
    }
    ASSERT_EQ(write(ends[1], "x", 1), 1);
  }
  EXPECT_EQ(got, 1) << "the read was not restarted";
  close(ends[0]);
  close(ends[1]);
}

TEST(InterruptedThreadTest, AThreadWhoseStackIsKnownBeforehand) {
  std::atomic<bool> stop{false};
  std::atomic<bool> inside{false};
  StackBounds bounds;
  OtherThread other([&] {
    bounds = StackOfThisThread();
    UnoptimizedFrame([&] {
      inside = true;
      while (!stop) {
      }
    });
  });
  while (!inside) std::this_thread::yield();
  {
    auto thread = InterruptedThread::Hold(other.tid(), kLong);
    ASSERT_TRUE(thread.ok()) << thread.status();
    EXPECT_EQ(thread->snapshot().bounds.low, bounds.low);
    EXPECT_EQ(thread->snapshot().bounds.high, bounds.high);
  }
  stop = true;
}

TEST(InterruptedThreadTest, ACopyIsWalkedWhileTheThreadGoesOn) {
  for (const bool known : {false, true}) {
    std::atomic<bool> stop{false};
    std::atomic<bool> inside{false};
    OtherThread other([&] {
      if (known) StackOfThisThread();
      UnoptimizedFrame([&] {
        inside = true;
        while (!stop) {
        }
      });
    });
    while (!inside) std::this_thread::yield();
    std::vector<char> room(256 * 1024);
    for (int i = 0; i < 100; ++i) {
      const auto snapshot =
          CopyThread(other.tid(), kLong, room.data(), room.size());
      ASSERT_TRUE(snapshot.ok()) << snapshot.status();
      const Seen seen = Look(*snapshot);
      EXPECT_TRUE(seen.result.complete()) << seen.result.ToString();
      EXPECT_TRUE(seen.frame_found);
    }
    std::vector<char> small(64);
    const auto snapshot =
        CopyThread(other.tid(), kLong, small.data(), small.size());
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    EXPECT_EQ(Look(*snapshot).result.end, WalkEnd::kBoundsLeft);
    stop = true;
  }
}

TEST(InterruptedThreadTest, AThreadThatRunsAContinulet) {
  using Body = Continulet<int(int)>;
  std::atomic<bool> stop{false};
  std::atomic<bool> inside{false};
  OtherThread other([&] {
    Body body("body", [&](Body::Self&, int) {
      UnoptimizedFrame([&] {
        inside = true;
        while (!stop) {
        }
      });
      return 0;
    });
    body.Switch(0);
  });
  while (!inside) std::this_thread::yield();
  {
    auto thread = InterruptedThread::Hold(other.tid(), kLong);
    ASSERT_TRUE(thread.ok()) << thread.status();
    const Seen seen = Look(thread->snapshot());
    EXPECT_TRUE(seen.result.complete()) << seen.result.ToString();
    EXPECT_TRUE(IsContinuletBase(seen.result.pc));
  }
  stop = true;
}

TEST(InterruptedThreadTest, AThreadThatBlocksTheSignalIsNotWaitedForForever) {
  ASSERT_TRUE(InterruptionSignal().ok());
  std::atomic<bool> stop{false};
  std::atomic<bool> blocked{false};
  OtherThread other([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    blocked = true;
    while (!stop) std::this_thread::yield();
    // What was abandoned arrives now, late, and must do nothing.
    pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
  });
  while (!blocked) std::this_thread::yield();
  for (int i = 0; i < 3; ++i) {
    const auto thread = InterruptedThread::Hold(other.tid(), kShort);
    EXPECT_EQ(thread.status().code(), absl::StatusCode::kDeadlineExceeded);
  }
  stop = true;
}

TEST(InterruptedThreadTest, ErrorsNameTheRemedy) {
  EXPECT_EQ(InterruptedThread::Hold(ThreadId(), kShort).status().code(),
            absl::StatusCode::kInvalidArgument);
  // The number of a process is not that of a thread of this one.
  EXPECT_EQ(InterruptedThread::Hold(getppid(), kShort).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(InterruptedThreadTest, ManyThreadsAreHeldAtATime) {
  constexpr int kThreads = 16;
  std::atomic<bool> stop{false};
  {
    std::vector<std::unique_ptr<OtherThread>> others;
    for (int i = 0; i < kThreads; ++i) {
      others.push_back(std::make_unique<OtherThread>([&] {
        while (!stop) std::this_thread::yield();
      }));
    }
    for (int round = 0; round < 20; ++round) {
      std::vector<InterruptedThread> held;
      held.reserve(kThreads);
      for (const auto& other : others) {
        auto thread = InterruptedThread::Hold(other->tid(), kLong);
        ASSERT_TRUE(thread.ok()) << thread.status();
        held.push_back(*std::move(thread));
      }
      for (const InterruptedThread& thread : held) {
        const WalkResult result = Look(thread.snapshot()).result;
        EXPECT_TRUE(result.complete()) << result.ToString();
      }
    }
    stop = true;
  }
}

}  // namespace
}  // namespace instar
