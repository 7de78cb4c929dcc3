// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/foreign_stacks.h"

#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <boost/context/detail/fcontext.hpp>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/testing/child_process.h"
#include "continuation/continulet.h"
#include "continuation/internal/boost_fcontext.h"
#include "continuation/paused_computations.h"
#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"

namespace instar {
namespace {

namespace fcontext = boost::context::detail;

constexpr std::size_t kStackSize = 128 << 10;
constexpr std::uintptr_t kFarthest = 2048;

struct Stack {
  std::unique_ptr<char[]> memory = std::make_unique<char[]>(kStackSize);
  std::uintptr_t low() const {
    return reinterpret_cast<std::uintptr_t>(memory.get());
  }
  std::uintptr_t high() const { return low() + kStackSize; }
};

// A place in the fiber's function, to which Pause() returns.
std::uintptr_t place_in_fiber;
std::vector<StackSnapshot> seen_inside;

void NotePlace() __attribute__((noinline));
void NotePlace() {
  place_in_fiber =
      reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
}

// What the visits of paused computations give, of fibers alone.
std::vector<PausedComputation> PausedFibers() {
  std::vector<PausedComputation> paused;
  VisitPausedComputationsOfThisThread([&](const PausedComputation& one) {
    if (one.tid == 0) paused.push_back(one);
  });
  return paused;
}

// Whether a walk of it is complete and goes through the fiber's function, which
// has no more code than kFarthest.
void ExpectGoesThroughFiber(const StackSnapshot& snapshot) {
  bool found = false;
  const WalkResult walk = WalkStack(snapshot, [&](const Frame& frame) {
    found |= frame.pc + kFarthest > place_in_fiber &&
             frame.pc < place_in_fiber + kFarthest;
    return true;
  });
  EXPECT_TRUE(walk.complete()) << walk.ToString();
  EXPECT_TRUE(found);
}

ucontext_t main_context, fiber_context;

__attribute__((noinline)) void UcontextFiber() {
  NotePlace();
  seen_inside.push_back(SnapshotOfCaller());
  EXPECT_TRUE(seen_inside.back().bounds.Contains(seen_inside.back().sp));
  ExpectGoesThroughFiber(seen_inside.back());
  swapcontext(&fiber_context, &main_context);
  NotePlace();
}

TEST(ForeignStacksTest, UcontextIsSeenPausedAndRunning) {
  Stack stack;
  bool runs = false;
  ForeignStacks declared([&](ForeignStacks::Yield yield) {
    yield({runs ? RunningStack(stack.low(), stack.high())
                : PausedUcontext(fiber_context),
           "fiber"});
    return true;
  });
  ASSERT_EQ(getcontext(&fiber_context), 0);
  fiber_context.uc_stack.ss_sp = stack.memory.get();
  fiber_context.uc_stack.ss_size = kStackSize;
  fiber_context.uc_link = &main_context;
  makecontext(&fiber_context, &UcontextFiber, 0);
  runs = true;
  ASSERT_EQ(swapcontext(&main_context, &fiber_context), 0);
  runs = false;
  const auto paused = PausedFibers();
  ASSERT_EQ(paused.size(), 1u);
  EXPECT_EQ(paused[0].continulet, "fiber");
  ExpectGoesThroughFiber(SnapshotOf(paused[0].context));
  runs = true;
  ASSERT_EQ(swapcontext(&main_context, &fiber_context), 0);
}

__attribute__((noinline)) void FcontextFiber(fcontext::transfer_t from) {
  NotePlace();
  seen_inside.push_back(SnapshotOfCaller());
  ExpectGoesThroughFiber(seen_inside.back());
  from = fcontext::jump_fcontext(from.fctx, nullptr);
  NotePlace();
  fcontext::jump_fcontext(from.fctx, nullptr);
}

TEST(ForeignStacksTest, FcontextOfBoostIsSeenPausedAndRunning) {
  Stack stack;
  fcontext::fcontext_t fiber = fcontext::make_fcontext(
      reinterpret_cast<void*>(stack.high()), kStackSize, &FcontextFiber);
  bool runs = false;
  ForeignStacks declared([&](ForeignStacks::Yield yield) {
    yield({runs ? RunningStack(stack.low(), stack.high())
                : PausedFcontext(fiber, stack.low(), stack.high())});
    return true;
  });
  runs = true;
  fiber = fcontext::jump_fcontext(fiber, nullptr).fctx;
  runs = false;
  const auto paused = PausedFibers();
  ASSERT_EQ(paused.size(), 1u);
  ExpectGoesThroughFiber(SnapshotOf(paused[0].context));
  runs = true;
  fcontext::jump_fcontext(fiber, nullptr);
}

TEST(ForeignStacksTest, AVisitorThatCannotTellMakesTheLookUnreliable) {
  EXPECT_TRUE(PausedFibers().empty());
  {
    ForeignStacks declared([](ForeignStacks::Yield) { return false; });
    const auto paused = PausedFibers();
    ASSERT_EQ(paused.size(), 1u);
    EXPECT_FALSE(WalkStack(SnapshotOf(paused[0].context), [](const Frame&) {
                   return true;
                 }).complete());
  }
  EXPECT_TRUE(PausedFibers().empty());
}

TEST(ForeignStacksTest, AChildIsAtNoVisitOfAnotherThread) {
  std::atomic<bool> is_visiting{false}, go_on{false};
  auto declared = std::make_unique<ForeignStacks>([&](ForeignStacks::Yield) {
    is_visiting = true;
    while (!go_on) std::this_thread::yield();
    return true;
  });
  std::thread visiting([] { PausedFibers(); });
  while (!is_visiting) std::this_thread::yield();
  EXPECT_EQ(InAChild([&] {
              declared.reset();
              return 0;
            }),
            0);
  go_on = true;
  visiting.join();
}

TEST(ForeignStacksTest, AContinuletOnAFiber) {
  Stack stack;
  ForeignStacks declared([&](ForeignStacks::Yield yield) {
    yield({RunningStack(stack.low(), stack.high())});
    return true;
  });
  fcontext::jump_fcontext(
      fcontext::make_fcontext(reinterpret_cast<void*>(stack.high()), kStackSize,
                              [](fcontext::transfer_t from) {
                                Continulet<void()> body("body", [](auto&) {
                                  StackSnapshot here = SnapshotOfCaller();
                                  StackSnapshot room[1];
                                  ASSERT_EQ(LinkSwitchers(&here, room, 1), 1);
                                  const WalkResult walk = WalkStack(
                                      here, [](const Frame&) { return true; });
                                  EXPECT_TRUE(walk.complete())
                                      << walk.ToString();
                                });
                                body.Switch();
                                fcontext::jump_fcontext(from.fctx, nullptr);
                              }),
      nullptr);
}

}  // namespace
}  // namespace instar
