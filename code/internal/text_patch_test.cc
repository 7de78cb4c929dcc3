// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is refused, what is undone, and what becomes of signals that are not
// ours.

#include "code/internal/text_patch.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "base/testing/child_process.h"
#include "base/testing/no_tracing.h"
#include "base/testing/sanitizers.h"
#include "code/function_entry.h"
#include "code/updatable_functions_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

using code_test::Answer;
using code_test::Answer2;
using code_test::Answer3;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A thread that is in the process and does what `run` says, until the end.
class OtherThread {
 public:
  template <typename F>
  explicit OtherThread(F run)
      : thread_([this, run] {
          // A sanitizer's runtime takes down the signal stack that it set up.
          stack_t signal_stack;
          sigaltstack(nullptr, &signal_stack);
          run();
          started_ = true;
          while (!stop_) wrong_ += Answer(1) % 100 != 1;
          sigaltstack(&signal_stack, nullptr);
        }) {
    while (!started_) std::this_thread::yield();
  }
  ~OtherThread() {
    stop_ = true;
    thread_.join();
    EXPECT_EQ(wrong_, 0);
  }
  pthread_t handle() { return thread_.native_handle(); }

 private:
  std::atomic<bool> started_{false};
  std::atomic<bool> stop_{false};
  std::atomic<long> wrong_{0};
  std::thread thread_;
};

// Lets the calls numbered [first, last) fail, counted from 0.
struct Faults {
  int calls = 0, first = 0, last = 0;

  bool NextFails() {
    const int number = calls++;
    return number >= first && number < last;
  }
};
Faults g_writes, g_barriers;

ssize_t FaultyWrite(int file, const void* bytes, size_t size,
                    uintptr_t address) {
  if (g_writes.NextFails()) {
    errno = EIO;
    return -1;
  }
  return ScopedTextPatchCalls::Real().write_at(file, bytes, size, address);
}

int FaultySerialize() {
  if (g_barriers.NextFails()) {
    errno = ENOMEM;
    return -1;
  }
  return ScopedTextPatchCalls::Real().serialize();
}

class TextPatchTest : public testing::Test {
 protected:
  TextPatchTest() { g_writes = g_barriers = Faults(); }
  ~TextPatchTest() override {
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(Answer2(1), 201);
  }

  // Entries of two functions, so that there is something half way.
  Redirection Prepared() {
    return *Redirection::Prepare(
        {{*Function::Of(&Answer), reinterpret_cast<uintptr_t>(&Answer3)},
         {*Function::Of(&Answer2), reinterpret_cast<uintptr_t>(&Answer3)}});
  }

  // Applies it with one call failing, the first after `from`, the next one, and
  // so on, until there is none to fail: how often it failed. Each time nothing
  // is changed.
  static int FailEach(Faults& faults, int from, Redirection& redirection,
                      absl::StatusCode code) {
    int failed = 0;
    for (int i = from; i < from + 50; ++i) {
      faults = {0, i, i + 1};
      const absl::Status status = redirection.Apply();
      faults = Faults();
      if (status.ok()) break;
      ++failed;
      EXPECT_EQ(status.code(), code);
      EXPECT_EQ(Answer(1), 101);
      EXPECT_EQ(Answer2(1), 201);
    }
    return failed;
  }
};

TEST_F(TextPatchTest, EveryFailingWriteIsUndone) {
  OtherThread other([] {});
  Redirection redirection = Prepared();
  const ScopedTextPatchCalls faults({&FaultyWrite, &FaultySerialize});
  const int failed =
      FailEach(g_writes, 0, redirection, absl::StatusCode::kPermissionDenied);
  EXPECT_GE(failed, 4);  // the probe and three phases
  EXPECT_EQ(Answer(1), 301);
  EXPECT_TRUE(redirection.Undo().ok());
}

// Says that it wrote, and wrote nothing, as of a file that is no memory.
ssize_t LostWrite(int file, const void* bytes, size_t size, uintptr_t address) {
  if (g_writes.NextFails()) {
    return static_cast<ssize_t>(size);
  }
  return ScopedTextPatchCalls::Real().write_at(file, bytes, size, address);
}

TEST_F(TextPatchTest, EveryWriteThatDoesNotArriveIsUndone) {
  OtherThread other([] {});
  Redirection redirection = Prepared();
  const ScopedTextPatchCalls faults({&LostWrite, &FaultySerialize});
  const int failed =  // a lost probe is repeated
      FailEach(g_writes, 1, redirection, absl::StatusCode::kInternal);
  EXPECT_GE(failed, 3);
  EXPECT_EQ(Answer(1), 301);
  EXPECT_TRUE(redirection.Undo().ok());
}

TEST_F(TextPatchTest, FileThatIsNoMemoryIsRefusedBeforeAnythingChanges) {
  const ScopedTextPatchCalls faults({&LostWrite, &FaultySerialize});
  g_writes.last = 1000;
  const absl::Status status = Redirect(&Answer, &Answer2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("not the memory of this process"));
}

TEST_F(TextPatchTest, EveryFailingBarrierIsUndone) {
  OtherThread other([] {});
  Redirection redirection = Prepared();
  const ScopedTextPatchCalls faults({&FaultyWrite, &FaultySerialize});
  const int failed =
      FailEach(g_barriers, 0, redirection, absl::StatusCode::kUnavailable);
  EXPECT_EQ(failed, 3);
  EXPECT_TRUE(redirection.Undo().ok());
}

TEST_F(TextPatchTest, TrapsThatCannotBeUndoneLeadWhereTheyLed) {
  OtherThread other([] {});
  Redirection redirection = Prepared();
  {
    const ScopedTextPatchCalls faults({&FaultyWrite, &FaultySerialize});
    g_writes.first = 2;  // after the probe and the traps
    g_writes.last = 1000;
    EXPECT_EQ(redirection.Apply().code(), absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(Answer2(1), 201);
  EXPECT_EQ(redirection.Apply().code(), absl::StatusCode::kDataLoss);
  // Put right by hand, so that the next tests can go on.
  CodeLock lock;
  for (int (*const function)(int) : {&Answer, &Answer2}) {
    const auto entry = reinterpret_cast<uintptr_t>(function);
    const unsigned char first = 0x0F;
    ASSERT_TRUE(WriteUnusedCode(lock, entry, &first, 1).ok());
    FindEntryRecord(entry)->trap_resume = 0;
  }
  ForgetStuckTrapsForTesting(lock);
}

TEST_F(TextPatchTest, UnwritableMemoryIsRefusedBeforeAnythingChanges) {
  const ScopedTextPatchCalls faults({&FaultyWrite, &FaultySerialize});
  g_writes.last = 1000;
  const absl::Status status = Redirect(&Answer, &Answer2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Redefinable"));
  EXPECT_EQ(g_writes.calls, 1);
}

TEST_F(TextPatchTest, ThreadThatBlocksSigtrapIsStopped) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  OtherThread other([] {
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    pthread_sigmask(SIG_BLOCK, &trap, nullptr);
  });
  auto redirection = Redirect(&Answer, &Answer2);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_EQ(Answer(1), 201);
  EXPECT_TRUE(redirection->Undo().ok());
  EXPECT_EQ(Answer(1), 101);
}

// It runs none of the code that it changes, and cannot stop itself.
TEST_F(TextPatchTest, ThreadThatPatchesMayBlockSigtrap) {
  OtherThread other([] {});
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto redirection = Redirect(&Answer, &Answer2);
  EXPECT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_EQ(Answer(1), 201);
  EXPECT_TRUE(redirection.ok() && redirection->Undo().ok());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(Answer(1), 101);
}

// Where that is not allowed.
TEST_F(TextPatchTest, ThreadThatBlocksSigtrapIsNamed) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  EXPECT_EQ(InAChild([this] {
              if (!ForbidTracing()) return 1;
              OtherThread other([] {
                sigset_t trap;
                sigemptyset(&trap);
                sigaddset(&trap, SIGTRAP);
                pthread_sigmask(SIG_BLOCK, &trap, nullptr);
                pthread_setname_np(pthread_self(), "deaf");
              });
              const absl::Status status = Redirect(&Answer, &Answer2).status();
              EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
              EXPECT_THAT(
                  std::string(status.message()),
                  AllOf(HasSubstr("blocks SIGTRAP"), HasSubstr("'deaf'")));
              EXPECT_EQ(Answer(1), 101);
              // With all threads held there is no trap to run into.
              Redirection held = Prepared();
              EXPECT_TRUE(held.Apply(OtherThreads::kHeld).ok());
              EXPECT_TRUE(held.Undo(OtherThreads::kHeld).ok());
              std::fflush(stdout);
              return testing::Test::HasFailure() ? 2 : 0;
            }),
            0);
}

std::atomic<bool> g_block_now{false};
std::atomic<bool> g_blocks{false};

// Once the traps are written, and so after the threads were looked at.
int SerializeWhileAnotherThreadBlocks() {
  g_block_now = true;
  while (!g_blocks) std::this_thread::yield();
  return ScopedTextPatchCalls::Real().serialize();
}

TEST_F(TextPatchTest, ThreadThatBlocksSigtrapInMidBatchIsNotWaitedForForEver) {
  std::atomic<bool> stop{false};
  std::atomic<bool> has_begun{false};
  std::thread other([&] {
    has_begun = true;
    while (!g_block_now) {
      if (stop) return;  // the change was made, or given up, before
    }
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    pthread_sigmask(SIG_BLOCK, &trap, nullptr);
    g_blocks = true;
    while (!stop) {
    }
  });
  // A thread that begins has all signals blocked, and would be stopped for
  // that.
  while (!has_begun) std::this_thread::yield();
  EntryChange change;
  const auto entry = reinterpret_cast<uintptr_t>(&Answer2);
  memcpy(change.bytes, reinterpret_cast<const void*>(entry), kEntrySize);
  change.single_byte_no_ops = true;  // as if it were the first change
  absl::Status status;
  {
    const ScopedTextPatchCalls calls({ScopedTextPatchCalls::Real().write_at,
                                      &SerializeWhileAnotherThreadBlocks});
    CodeLock lock;
    change.record = FindOrMakeEntryRecord(entry);
    status = WriteEntries(lock, &change, 1, OtherThreads::kRunning);
  }
  stop = true;
  other.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not take"));
  // Nothing stays half done.
  Redirection redirection = Prepared();
  EXPECT_TRUE(redirection.Apply().ok());
  EXPECT_TRUE(redirection.Undo().ok());
}

// The thread behind such a timer blocks every signal.
TEST_F(TextPatchTest, ATimerThatStartsThreadsIsNotInTheWay) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);  // nor may threads be traced
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = [](sigval) {};
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  {
    auto redirection = Redirect(&Answer, &Answer2);
    ASSERT_TRUE(redirection.ok()) << redirection.status();
    EXPECT_EQ(Answer(1), 201);
    EXPECT_TRUE(redirection->Undo().ok());
  }
  timer_delete(timer);
}

TEST_F(TextPatchTest, BreakpointOfSomebodyElseIsRefused) {
  Redirection redirection = Prepared();
  const auto entry = reinterpret_cast<uintptr_t>(&Answer2);
  {
    CodeLock lock;
    const unsigned char trap = 0xCC;
    ASSERT_TRUE(WriteUnusedCode(lock, entry, &trap, 1).ok());
  }
  const absl::Status status = redirection.Apply();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("breakpoint"));
  CodeLock lock;
  const unsigned char first = 0x0F;
  ASSERT_TRUE(WriteUnusedCode(lock, entry, &first, 1).ok());
}

std::atomic<int> g_foreign_traps{0};

void CountTrap(int) { ++g_foreign_traps; }

TEST_F(TextPatchTest, ForeignTrapsGoToTheHandlerBefore) {
  struct sigaction action = {};
  action.sa_handler = &CountTrap;
  struct sigaction before = {};
  ASSERT_EQ(sigaction(SIGTRAP, &action, &before), 0);
  OtherThread other([] {});
  // Takes its place again, and hands on what is not ours.
  Redirection redirection = *Redirect(&Answer, &Answer2);
  g_foreign_traps = 0;
  asm volatile("int3");
  raise(SIGTRAP);
  EXPECT_EQ(g_foreign_traps, 2);
  EXPECT_TRUE(redirection.Undo().ok());
}

struct sigaction g_handler_below;
std::atomic<int> g_traps_on_top{0};

void HandOnBelow(int signal, siginfo_t* info, void* context) {
  ++g_traps_on_top;
  g_handler_below.sa_sigaction(signal, info, context);
}

// A handler of the program that hands on what it does not know, to ours: then
// ours lies over it, and under it.
TEST_F(TextPatchTest, HandlerThatHandsOnToOursIsNoCircle) {
  struct sigaction before = {};
  struct sigaction action = {};
  action.sa_handler = &CountTrap;
  ASSERT_EQ(sigaction(SIGTRAP, &action, &before), 0);
  Redirection redirection = Prepared();
  ASSERT_TRUE(redirection.Apply().ok());  // ours over CountTrap
  action.sa_sigaction = &HandOnBelow;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ASSERT_EQ(sigaction(SIGTRAP, &action, &g_handler_below), 0);
  const int counted = g_foreign_traps;
  raise(SIGTRAP);  // the program's, ours, CountTrap
  EXPECT_EQ(g_traps_on_top, 1);
  EXPECT_EQ(g_foreign_traps, counted + 1);

  ASSERT_TRUE(redirection.Undo().ok());  // ours over the program's
  raise(SIGTRAP);  // ours, the program's, ours again, CountTrap
  EXPECT_EQ(g_traps_on_top, 2);
  EXPECT_EQ(g_foreign_traps, counted + 2);
  {
    const OtherThread other([] {});
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(redirection.Apply().ok());
      ASSERT_TRUE(redirection.Undo().ok());
    }
  }
  // None of the traps of our own reached them.
  EXPECT_EQ(g_traps_on_top, 2);
  EXPECT_EQ(g_foreign_traps, counted + 2);
  ASSERT_EQ(sigaction(SIGTRAP, &before, nullptr), 0);
}

sigjmp_buf g_jump;
std::atomic<int> g_jumps{0};

void JumpOut(int) {
  ++g_jumps;
  siglongjmp(g_jump, 1);
}

// A handler may leave by a jump (a crash reporter, an interpreter's guard). The
// next signal, whose information may lie at the same address, is its own again.
TEST_F(TextPatchTest, HandlerThatJumpsOutGetsTheNextSignalToo) {
  struct sigaction before = {};
  struct sigaction action = {};
  action.sa_handler = &CountTrap;
  ASSERT_EQ(sigaction(SIGTRAP, &action, &before), 0);
  Redirection redirection = Prepared();
  ASSERT_TRUE(redirection.Apply().ok());  // ours over CountTrap
  action.sa_handler = &JumpOut;
  ASSERT_EQ(sigaction(SIGTRAP, &action, nullptr), 0);
  ASSERT_TRUE(redirection.Undo().ok());  // ours over JumpOut
  const int counted = g_foreign_traps;
  g_jumps = 0;
  for (volatile int i = 0; i < 3; i = i + 1) {
    if (sigsetjmp(g_jump, 1) == 0) raise(SIGTRAP);
  }
  EXPECT_EQ(g_jumps, 3);
  EXPECT_EQ(g_foreign_traps, counted);
  ASSERT_EQ(sigaction(SIGTRAP, &before, nullptr), 0);
}

// The smallest signal stack that the kernel takes has no room for a signal on
// most processors (AT_MINSIGSTKSZ): a trap must not be handled there.
TEST_F(TextPatchTest, ThreadWithASmallSignalStackRunsIntoTraps) {
  static char stack[2048];
  OtherThread other([] {
    stack_t small = {};
    small.ss_sp = stack;
    small.ss_size = sizeof(stack);
    ASSERT_EQ(sigaltstack(&small, nullptr), 0);
  });
  Redirection redirection = Prepared();
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(redirection.Apply().ok());
    ASSERT_TRUE(redirection.Undo().ok());
  }
}

TEST(TextPatchDeathTest, ForeignTrapWithoutHandlerKills) {
  EXPECT_EXIT(
      {
        signal(SIGTRAP, SIG_DFL);
        (void)Redirect(&Answer, &Answer2);
        asm volatile("int3");
        _exit(0);
      },
      testing::KilledBySignal(SIGTRAP), "");
}

}  // namespace
}  // namespace code_internal
}  // namespace instar
