// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Addresses of an object, wherever a program may have them.

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/testing/cleared_stacks.h"
#include "base/testing/inside.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/module/scan/reference_scan_fixture.h"

namespace instar {
namespace manager_internal {
namespace {

using testing::HasSubstr;

void* Map(std::size_t size, int flags, int file = -1) {
  void* const memory =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, file, 0);
  EXPECT_NE(memory, MAP_FAILED);
  return memory;
}

TEST_F(ReferenceScanTest, InTheHeap) {
  const auto word = std::make_unique<std::uintptr_t>();
  Plant(word.get());
  ExpectFound("at 0x");
  *word = 0;
}

TEST_F(ReferenceScanTest, WithoutALimit) {
  const std::optional<Reference> found =
      ScanOfAllThreads(std::chrono::nanoseconds::max());
  if (found.has_value()) ADD_FAILURE() << found->where;
}

TEST_F(ReferenceScanTest, InAVariable) {
  static std::uintptr_t word = 1;  // in the program's file
  Plant(&word);
  ExpectFound("variables of /");
  word = 1;
}

TEST_F(ReferenceScanTest, InAPackedStructure) {
  struct [[gnu::packed]] Packed {
    char begin[3];
    std::uintptr_t word;
    char end[5];
  };
  const auto packed = std::make_unique<Packed>();
  Plant(packed->begin + 3);
  ExpectFound("at 0x");
  std::memset(packed.get(), 0, sizeof(Packed));
}

TEST_F(ReferenceScanTest, BesideATag) {
  const auto word = std::make_unique<std::uintptr_t>();
  Plant(word.get(), std::uintptr_t{0xbeef} << 48);
  ExpectFound("at 0x");
  *word = 0;
}

TEST_F(ReferenceScanTest, WhereTheMemoryIsReadInParts) {
  constexpr std::size_t kLarge = 1 << 20;
  auto* const memory =
      static_cast<char*>(Map(kLarge, MAP_PRIVATE | MAP_ANONYMOUS));
  std::memset(memory, 1, kLarge);
  for (std::size_t at = kLarge / 4 - 9; at < kLarge / 4 + 2; ++at) {
    Plant(memory + at);
    ExpectFound("at 0x");
    std::memset(memory + at, 1, sizeof(std::uintptr_t));
  }
  munmap(memory, kLarge);
}

// The state of so many pages is read at once.
TEST_F(ReferenceScanTest, WhereTheStateOfPagesIsReadInParts) {
  constexpr std::size_t kPart = 512 * 4096;
  auto* const memory =
      static_cast<char*>(Map(2 * kPart, MAP_PRIVATE | MAP_ANONYMOUS));
  // So that the kernel lists it by itself.
  ASSERT_EQ(mprotect(memory, kPart / 2, PROT_NONE), 0);
  ASSERT_EQ(mprotect(memory + kPart / 2 + kPart + 4096, 4096, PROT_NONE), 0);
  Plant(memory + kPart / 2 + kPart - 5);
  ExpectFound("at 0x");
  munmap(memory, 2 * kPart);
}

TEST_F(ReferenceScanTest, InMemoryThatNobodyMayRead) {
  void* const memory = Map(4096, MAP_PRIVATE | MAP_ANONYMOUS);
  Plant(memory);
  ASSERT_EQ(mprotect(memory, 4096, PROT_NONE), 0);
  ExpectFound("at 0x");
  munmap(memory, 4096);
}

TEST_F(ReferenceScanTest, InSharedMemory) {
  void* const memory = Map(4096, MAP_SHARED | MAP_ANONYMOUS);
  Plant(memory);
  ExpectFound("at 0x");
  ASSERT_EQ(mprotect(memory, 4096, PROT_READ), 0);
  ExpectFound("at 0x");
  munmap(memory, 4096);
}

// Reading a page of shared memory makes it: this must not use up memory.
TEST_F(ReferenceScanTest, SharedMemoryStaysAsLargeAsItIs) {
  constexpr std::size_t kPages = 5000;
  auto* const memory =
      static_cast<char*>(Map(kPages * 4096, MAP_SHARED | MAP_ANONYMOUS));
  Plant(memory + (kPages - 1) * 4096);
  ExpectFound("at 0x");
  std::memset(memory + (kPages - 1) * 4096, 0, sizeof(std::uintptr_t));
  ExpectNothing();
  std::vector<unsigned char> state(kPages);
  ASSERT_EQ(mincore(memory, kPages * 4096, state.data()), 0);
  int in_memory = 0;
  for (const unsigned char page : state) in_memory += page & 1;
  EXPECT_EQ(in_memory, 1);
  munmap(memory, kPages * 4096);
}

// A child of fork() has not touched it yet.
TEST_F(ReferenceScanTest, InSharedMemoryOfTheParent) {
  void* const memory = Map(4096, MAP_SHARED | MAP_ANONYMOUS);
  Plant(memory);
  const pid_t child = fork();
  if (child == 0) {
    const std::optional<Reference> found = ScanOfAllThreads();
    _exit(found.has_value() && found->offset == kOffset ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  munmap(memory, 4096);
}

TEST_F(ReferenceScanTest, NotBehindTheEndOfAFile) {
  char path[] = "/tmp/instar-scan-XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  unlink(path);
  ASSERT_EQ(ftruncate(file, 4096), 0);
  void* const memory = Map(4 * 4096, MAP_SHARED, file);
  ExpectNothing();
  Plant(memory);
  ExpectFound("at 0x");
  munmap(memory, 4 * 4096);
  close(file);
}

TEST_F(ReferenceScanTest, OnAStack) {
  Inside inside([](const Inside::Stay& stay) {
    volatile std::uintptr_t word;
    Plant(const_cast<std::uintptr_t*>(&word));
    stay();
    word = 0;
  });
  ExpectFound("the stack or a thread_local variable of thread");
}

thread_local std::uintptr_t of_thread = 0;

TEST_F(ReferenceScanTest, InAThreadLocalVariable) {
  Inside inside([](const Inside::Stay& stay) {
    Plant(&of_thread);
    ClearStack<kCleared>();
    stay();
    of_thread = 0;
  });
  ExpectFound("the stack or a thread_local variable of thread");
}

__attribute__((noinline)) void PlantDeepBelow() {
  volatile char room[kRoom];
  Plant(const_cast<char*>(room));
}

TEST_F(ReferenceScanTest, NotWhatHasReturned) {
  Inside inside([](const Inside::Stay& stay) {
    PlantDeepBelow();
    stay();
    ClearStack<kCleared>();
  });
  ExpectNothing();
}

// The loop in which the thread is has it in one register, and nothing has it
// anywhere else.
TEST_F(ReferenceScanTest, InARegister) {
  std::atomic<bool> is_inside{false};
  std::atomic<bool> leave{false};
  std::thread thread([&] {
    std::uintptr_t word = hidden_object;
    asm volatile(
        "notq %[word]\n\t"
        "addq %[offset], %[word]\n\t"
        "movq %[word], %%xmm9\n\t"
        "xorl %k[word], %k[word]\n\t"
        "movb $1, %[is_inside]\n"
        "1:\n\t"
        "pause\n\t"
        "cmpb $0, %[leave]\n\t"
        "je 1b\n\t"
        "pxor %%xmm9, %%xmm9\n\t"
        : [word] "+r"(word), [is_inside] "+m"(is_inside)
        : [leave] "m"(leave), [offset] "i"(kOffset)
        : "xmm9", "cc", "memory");
  });
  while (!is_inside) std::this_thread::yield();
  ExpectFound("the stack or a thread_local variable of thread");
  leave = true;
  thread.join();
}

// A fiber whose stack is an array of a function; another function, which lies
// below that, has the address.
struct Fiber {
  ucontext_t caller;
  ucontext_t fiber;
  const Inside::Stay* stay;
};
thread_local Fiber* running = nullptr;

void RunFiber() {
  (*running->stay)();
  swapcontext(&running->fiber, &running->caller);
}

__attribute__((noinline)) void SwitchTo(Fiber* fiber) {
  volatile std::uintptr_t word;
  Plant(const_cast<std::uintptr_t*>(&word));
  swapcontext(&fiber->caller, &fiber->fiber);
  word = 0;
}

TEST_F(ReferenceScanTest, BelowAFiberOnTheStack) {
  Inside inside([](const Inside::Stay& stay) {
    char room[kRoom] = {};
    Fiber fiber = {};
    fiber.stay = &stay;
    running = &fiber;
    getcontext(&fiber.fiber);
    fiber.fiber.uc_stack.ss_sp = room;
    fiber.fiber.uc_stack.ss_size = sizeof(room);
    makecontext(&fiber.fiber, &RunFiber, 0);
    SwitchTo(&fiber);
  });
  ExpectFound("at 0x");
}

// The same with the stack on which signals are handled.
thread_local const Inside::Stay* in_handler = nullptr;

__attribute__((noinline)) void RaiseWithWord() {
  volatile std::uintptr_t word;
  Plant(const_cast<std::uintptr_t*>(&word));
  raise(SIGUSR1);
  word = 0;
}

TEST_F(ReferenceScanTest, BelowTheStackOfASignal) {
  struct sigaction action = {};
  action.sa_handler = [](int) { (*in_handler)(); };
  action.sa_flags = SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  Inside inside([](const Inside::Stay& stay) {
    char room[kRoom] = {};
    stack_t stack = {};
    stack.ss_sp = room;
    stack.ss_size = sizeof(room);
    sigaltstack(&stack, nullptr);
    in_handler = &stay;
    RaiseWithWord();
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, nullptr);
  });
  ExpectFound("at 0x");
  inside.Leave();
  signal(SIGUSR1, SIG_DFL);
}

TEST_F(ReferenceScanTest, AsTheStackOfSignals) {
  Inside inside([](const Inside::Stay& stay) {
    stack_t stack = {};
    stack.ss_size = kRoom;
    Plant(&stack.ss_sp);
    sigaltstack(&stack, nullptr);
    stack.ss_sp = nullptr;
    ClearStack<kCleared>();
    stay();
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, nullptr);
  });
  ExpectFound("the stack or a thread_local variable of thread");
}

// In front of a stack that the program has made, and in the same memory.
TEST_F(ReferenceScanTest, BesideAStack) {
  constexpr std::size_t kAll = 1 << 20;
  auto* const memory =
      static_cast<char*>(Map(kAll, MAP_PRIVATE | MAP_ANONYMOUS));
  Plant(memory + kAll / 4);
  std::atomic<bool> leave{false};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, memory + kAll / 2, kAll / 2);
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, &attributes,
                [](void* flag) -> void* {
                  while (!*static_cast<std::atomic<bool>*>(flag)) {
                    std::this_thread::yield();
                  }
                  return nullptr;
                },
                &leave),
            0);
  ExpectFound("at 0x");
  leave = true;
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  munmap(memory, kAll);
}

TEST_F(ReferenceScanTest, InAContinuletThatIsPaused) {
  Continulet<int(int)> continulet("paused", [](auto& self, int) {
    volatile std::uintptr_t word;
    Plant(const_cast<std::uintptr_t*>(&word));
    self.Switch(1);
    word = 0;
    return 2;
  });
  EXPECT_EQ(continulet.Switch(0), 1);
  ExpectFound("at 0x");
  EXPECT_EQ(continulet.Switch(0), 2);
}

TEST_F(ReferenceScanTest, NoLongerThanThreadsMayBeHeld) {
  const std::optional<Reference> found =
      ScanOfAllThreads(std::chrono::nanoseconds(1));
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(
      found->where,
      HasSubstr("its threads would have to be held for more than 1 ms"));
}

// Memory that nobody uses takes time, too, if there is very much of it.
TEST_F(ReferenceScanTest, NoLongerThanThreadsMayBeHeldForWhatIsNotThere) {
  constexpr std::size_t kHuge = std::size_t{1} << 45;
  void* const memory = mmap(nullptr, kHuge, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const std::optional<Reference> found =
      ScanOfAllThreads(std::chrono::milliseconds(20));
  munmap(memory, kHuge);
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(
      found->where,
      HasSubstr("its threads would have to be held for more than 20 ms"));
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
