// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/stack_walker.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <signal.h>
#include <unwind.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/unwind_table.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"
#include "stack/testing/walk_cases.h"

namespace instar {
namespace {

using testing::HasSubstr;

struct Walk {
  std::vector<std::uintptr_t> pcs;
  WalkResult result;
};

Walk WalkAll(const StackSnapshot& snapshot) {
  Walk walk;
  walk.result = WalkStack(snapshot, [&](const Frame& frame) {
    EXPECT_EQ(frame.depth, static_cast<int>(walk.pcs.size()));
    walk.pcs.push_back(frame.pc);
    return true;
  });
  return walk;
}

// Whether a frame of the walk is one of `function`.
bool Visits(const Walk& walk, const void* function) {
  const auto start = reinterpret_cast<std::uintptr_t>(function);
  UnwindEntry entry;
  const std::uintptr_t end =
      FindUnwindEntry(start, &entry) == UnwindLookup::kFound ? entry.end
                                                             : start + 16;
  for (const std::uintptr_t pc : walk.pcs) {
    if (pc > start && pc <= end) return true;
  }
  return false;
}

// What the unwinder of exceptions sees, from the caller's caller on.
__attribute__((noinline)) std::vector<std::uintptr_t> UnwinderFrames() {
  std::vector<std::uintptr_t> pcs;
  _Unwind_Backtrace(
      [](_Unwind_Context* context, void* argument) {
        const std::uintptr_t pc = _Unwind_GetIP(context);
        if (pc != 0) {
          static_cast<std::vector<std::uintptr_t>*>(argument)->push_back(pc);
        }
        return _URC_NO_REASON;
      },
      &pcs);
  pcs.erase(pcs.begin(), pcs.begin() + 2);
  return pcs;
}

// The walk of the caller, and that it agrees with the unwinder. Twice: the
// first may compute the rules, the second finds them.
__attribute__((noinline)) Walk CheckedWalk() {
  Walk first = WalkAll(SnapshotOfCaller());
  Walk walk = WalkAll(SnapshotOfCaller());
  const std::vector<std::uintptr_t> expected = UnwinderFrames();
  EXPECT_TRUE(walk.result.complete()) << walk.result.ToString();
  EXPECT_EQ(walk.result.frames, static_cast<int>(walk.pcs.size()));
  for (Walk* each : {&first, &walk}) {
    EXPECT_EQ(
        std::vector<std::uintptr_t>(each->pcs.begin() + 1, each->pcs.end()),
        expected);
  }
  return walk;
}

bool IsInLibc(std::uintptr_t pc) {
  Dl_info code;
  Dl_info libc;
  return dladdr(reinterpret_cast<void*>(pc), &code) != 0 &&
         dladdr(reinterpret_cast<void*>(&gnu_get_libc_version), &libc) != 0 &&
         code.dli_fbase == libc.dli_fbase;
}

TEST(StackWalkerTest, ReachesTheStartOfTheProgram) { CheckedWalk(); }

TEST(StackWalkerTest, ReachesTheStartOfAThread) {
  std::thread([] { CheckedWalk(); }).join();
}

TEST(StackWalkerTest, PassesLibcWhichKeepsNoFramePointers) {
  static Walk* walk;
  Walk walked;
  walk = &walked;
  int numbers[] = {2, 1};
  std::qsort(numbers, 2, sizeof(int), [](const void*, const void*) {
    *walk = CheckedWalk();
    return 0;
  });
  // Behind CheckedWalk() and the comparison, of one or two frames.
  bool found = false;
  for (int i = 2; i < 4; ++i) found = found || IsInLibc(walked.pcs[i]);
  EXPECT_TRUE(found);
}

TEST(StackWalkerTest, PassesFramesOfEveryShape) {
  for (const WalkCase& each : WalkCases()) {
    SCOPED_TRACE(each.name);
    bool called = false;
    each.function([&] {
      const Walk walk = CheckedWalk();
      called = true;
      EXPECT_EQ(Visits(walk, reinterpret_cast<void*>(each.function)),
                each.stays_on_stack);
    });
    EXPECT_TRUE(called);
  }
}

// Otherwise walks would be right, and slow.
TEST(StackWalkerTest, RulesOfTheProgramAndItsLibrariesAreRemembered) {
#ifdef INSTAR_PORTABLE
  GTEST_SKIP() << "steps of libunwind are not remembered";
#endif
  UnoptimizedFrame([] {
    const Walk walk = CheckedWalk();
    for (std::size_t i = 1; i < walk.pcs.size(); ++i) {
      EXPECT_TRUE(stack_internal::IsNeverUnloaded(walk.pcs[i]));
      EXPECT_NE(stack_internal::FindCachedRule(
                    stack_internal::CacheKey(walk.pcs[i], false))
                    .kind(),
                stack_internal::RuleKind::kNone);
    }
  });
}

TEST(StackWalkerTest, TenThousandFrames) {
  int frames = 0;
  const auto count = [&] {
    const WalkResult result = WalkStack(SnapshotOfCaller(), [&](const Frame&) {
      ++frames;
      return true;
    });
    EXPECT_TRUE(result.complete()) << result.ToString();
  };
  Recurse(0, count);
  const int shallow = frames;
  frames = 0;
  Recurse(10000, count);
  EXPECT_EQ(frames, shallow + 10000);
}

TEST(StackWalkerTest, StopsWhenTheVisitorWantsNoMore) {
  int visits = 0;
  const WalkResult result =
      WalkStack(SnapshotOfCaller(), [&](const Frame&) { return ++visits < 3; });
  EXPECT_EQ(result.end, WalkEnd::kStopped);
  EXPECT_FALSE(result.complete());
  EXPECT_EQ(result.frames, 3);
}

TEST(StackWalkerTest, AssemblyWithoutUnwindInformationIsNotPassedInSilence) {
  bool called = false;
  CallWithoutUnwindInformation([&] {
    const Walk walk = WalkAll(SnapshotOfCaller());
    EXPECT_EQ(walk.result.end, WalkEnd::kNoUnwindInformation);
    EXPECT_TRUE(Visits(
        walk, reinterpret_cast<void*>(&instar_without_unwind_information)));
    EXPECT_THAT(walk.result.ToString(), HasSubstr("no unwind information"));
    called = true;
  });
  EXPECT_TRUE(called);
}

TEST(StackWalkerTest, AThunkAtAnEntryPassesOverTheFunctionThatHasNotBegun) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "no function entries on this processor";
#endif
  bool called = false;
  CallFromEntryThunk([&] {
    const Walk walk = CheckedWalk();
    EXPECT_FALSE(Visits(walk, reinterpret_cast<void*>(&instar_intercepted)));
    EXPECT_TRUE(Visits(walk, reinterpret_cast<void*>(&CallFromEntryThunk)));
    called = true;
  });
  EXPECT_TRUE(called);
}

TEST(StackWalkerTest, ABaseThatNobodyKnowsIsNotBelieved) {
  bool called = false;
  CallFromUnknownBase([&] {
    EXPECT_EQ(WalkAll(SnapshotOfCaller()).result.end, WalkEnd::kUnknownBase);
    called = true;
  });
  EXPECT_TRUE(called);
}

WalkResult walk_in_handler;

TEST(StackWalkerTest, SaysThatASignalHandlerRuns) {
  struct sigaction action = {};
  struct sigaction before;
  action.sa_handler = [](int) {
    walk_in_handler =
        WalkStack(SnapshotOfCaller(), [](const Frame&) { return true; });
  };
  StackOfThisThread();
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  raise(SIGUSR1);
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
  EXPECT_EQ(walk_in_handler.end, WalkEnd::kSignalFrame);
}

TEST(StackWalkerTest, CodeInNoObjectIsUnknown) {
  StackSnapshot snapshot = SnapshotOfCaller();
  snapshot.pc = snapshot.sp;
  const Walk walk = WalkAll(snapshot);
  EXPECT_EQ(walk.result.end, WalkEnd::kUnknownCode);
  EXPECT_EQ(walk.result.frames, 1);
}

TEST(StackWalkerTest, LeavesNoBounds) {
  StackSnapshot snapshot = SnapshotOfCaller();
  // Cut off in the middle.
  const Walk whole = WalkAll(snapshot);
  ASSERT_TRUE(whole.result.complete());
  std::uintptr_t middle = 0;
  WalkStack(snapshot, [&](const Frame& frame) {
    middle = frame.sp;
    return frame.depth < whole.result.frames / 2;
  });
  snapshot.bounds.high = middle - 8;
  EXPECT_EQ(WalkAll(snapshot).result.end, WalkEnd::kBoundsLeft);
  // The stack pointer itself lies elsewhere.
  snapshot.bounds = StackBounds{16, 4096};
  EXPECT_EQ(WalkAll(snapshot).result.end, WalkEnd::kBoundsLeft);
  EXPECT_EQ(WalkAll(snapshot).result.frames, 0);
}

// A stack made by hand: the return address of a function with a frame pointer,
// and frame pointers as each test wants them.
class MadeStackTest : public testing::Test {
 protected:
  MadeStackTest() {
    UnoptimizedFrame([&] {
      int depth = 0;
      WalkStack(SnapshotOfCaller(), [&](const Frame& frame) {
        const auto start = reinterpret_cast<std::uintptr_t>(&UnoptimizedFrame);
        if (frame.pc > start && frame.pc < start + 400) pc_ = frame.pc;
        return pc_ == 0 && ++depth < 50;
      });
    });
    EXPECT_NE(pc_, 0u);
  }

  std::uintptr_t At(int word) const {
    return reinterpret_cast<std::uintptr_t>(&words_[word]);
  }

  StackSnapshot From(int sp, int fp) const {
    return SnapshotAtEntry(pc_, At(sp), At(fp), StackBounds{At(0), At(64)});
  }

  std::uintptr_t pc_ = 0;
  std::uintptr_t words_[65] = {};
};

TEST_F(MadeStackTest, FollowsTheFramePointer) {
  words_[10] = At(20);  // saved fp
  words_[11] = pc_;
  words_[20] = At(30);
  words_[21] = 1;  // no code
  const Walk walk = WalkAll(From(4, 10));
  EXPECT_THAT(walk.pcs, testing::ElementsAre(pc_, pc_, 1));
  EXPECT_EQ(walk.result.end, WalkEnd::kUnknownCode);
}

TEST_F(MadeStackTest, AFramePointerToItselfIsALoop) {
  words_[10] = At(10);
  words_[11] = pc_;
  EXPECT_EQ(WalkAll(From(4, 10)).result.end, WalkEnd::kLoop);
}

TEST_F(MadeStackTest, AFramePointerDownwardsIsALoop) {
  words_[10] = At(2);
  words_[11] = pc_;
  EXPECT_EQ(WalkAll(From(4, 10)).result.end, WalkEnd::kLoop);
}

TEST_F(MadeStackTest, AFramePointerOutOfTheStackIsNotFollowed) {
  for (const std::uintptr_t bad :
       {std::uintptr_t{0}, std::uintptr_t{8}, ~std::uintptr_t{0} - 15, At(63),
        At(64), At(20) + 3}) {
    words_[10] = bad;
    words_[11] = pc_;
    const WalkEnd end = WalkAll(From(4, 10)).result.end;
    EXPECT_TRUE(end == WalkEnd::kBoundsLeft || end == WalkEnd::kLoop)
        << ToString(end);
  }
}

TEST(StackWalkerTest, WalksACopyOfTheStack) {
  Walk original;
  Walk copied;
  UnoptimizedFrame([&] {
    StackSnapshot snapshot = SnapshotOfCaller();
    original = WalkAll(snapshot);
    std::vector<char> copy(snapshot.bounds.high - snapshot.sp);
    CopyStack(copy.data(), snapshot.sp, copy.size());
    snapshot.copy_offset =
        reinterpret_cast<std::uintptr_t>(copy.data()) - snapshot.sp;
    copied = WalkAll(snapshot);
  });
  EXPECT_TRUE(original.result.complete());
  EXPECT_TRUE(copied.result.complete()) << copied.result.ToString();
  EXPECT_EQ(copied.pcs, original.pcs);
}

using Coroutine = Continulet<int(int)>;

TEST(StackWalkerTest, APausedContinuletEndsAtItsBase) {
  Coroutine paused("paused", [](Coroutine::Self& self, int first) {
    int result = first;
    UnoptimizedFrame([&] { result = self.Switch(result); });
    return result;
  });
  paused.Switch(1);
  const Walk walk = WalkAll(SnapshotOf(*paused.paused_context()));
  EXPECT_TRUE(walk.result.complete()) << walk.result.ToString();
  EXPECT_TRUE(IsContinuletBase(walk.pcs.back()));
  EXPECT_TRUE(Visits(walk, reinterpret_cast<void*>(&UnoptimizedFrame)));
  EXPECT_EQ(paused.Switch(7), 7);
}

TEST(StackWalkerTest, ARunningContinuletEndsAtItsBase) {
  Coroutine running("running", [](Coroutine::Self&, int) {
    const Walk walk = WalkAll(SnapshotOfCaller());
    EXPECT_TRUE(walk.result.complete()) << walk.result.ToString();
    EXPECT_TRUE(IsContinuletBase(walk.pcs.back()));
    return 0;
  });
  running.Switch(0);
}

TEST(StackWalkerTest, NestedContinuletsGoOnToTheBaseOfTheThread) {
  int outer_frames = 0;
  int bases = 0;
  Walk whole;
  Coroutine outer("outer", [&](Coroutine::Self&, int) {
    Coroutine middle("middle", [&](Coroutine::Self&, int) {
      Coroutine inner("inner", [&](Coroutine::Self&, int) {
        StackSnapshot room[3];
        StackSnapshot here = SnapshotOfCaller();
        EXPECT_EQ(LinkSwitchers(&here, room, 2), -1);
        EXPECT_EQ(LinkSwitchers(&here, room, 3), 3);
        whole = WalkAll(here);
        return 0;
      });
      return inner.Switch(0);
    });
    return middle.Switch(0);
  });
  outer_frames = WalkAll(SnapshotOfCaller()).result.frames;
  outer.Switch(0);
  EXPECT_TRUE(whole.result.complete()) << whole.result.ToString();
  for (const std::uintptr_t pc : whole.pcs) bases += IsContinuletBase(pc);
  EXPECT_EQ(bases, 3);
  EXPECT_GT(whole.result.frames, outer_frames);
  EXPECT_FALSE(IsContinuletBase(whole.pcs.back()));
}

TEST(StackWalkerTest, ThreadsWalkAtTheSameTime) {
#ifdef INSTAR_PORTABLE
  constexpr int kStep = 40;  // a step takes a hundred times as long
#else
  constexpr int kStep = 1;
#endif
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] {
      for (int depth = 0; depth < 200; depth += kStep) {
        Recurse(depth, [] {
          const Walk walk = WalkAll(SnapshotOfCaller());
          EXPECT_TRUE(walk.result.complete()) << walk.result.ToString();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace instar
