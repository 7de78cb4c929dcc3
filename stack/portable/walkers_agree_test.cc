// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The walker of stack/stack_walker.h and that of libunwind see the same frames,
// and end in the same way.

#include <dlfcn.h>
#include <link.h>
#include <signal.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/sanitizers.h"
#include "continuation/continulet.h"
#include "gtest/gtest.h"
#include "stack/portable/libunwind_step.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "stack/testing/activity_cases.h"
#include "stack/testing/walk_cases.h"

namespace {
std::atomic<int> lists_of_objects{0};
}  // namespace

// Takes a lock that threads which are stopped may have. (Sanitizers have one of
// their own.)
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
extern "C" int dl_iterate_phdr(int (*visit)(dl_phdr_info*, std::size_t, void*),
                               void* argument) {
  ++lists_of_objects;
  static const auto next = reinterpret_cast<decltype(&dl_iterate_phdr)>(
      dlsym(RTLD_NEXT, "dl_iterate_phdr"));
  return next(visit, argument);
}
#endif

namespace instar {
namespace {

struct Walked {
  std::vector<std::uintptr_t> pcs, lookup_pcs, sps;
  WalkEnd end;
};

bool operator==(const Walked& a, const Walked& b) {
  return a.pcs == b.pcs && a.lookup_pcs == b.lookup_pcs && a.sps == b.sps &&
         a.end == b.end;
}

void PrintTo(const Walked& walked, std::ostream* out) {
  *out << ToString(walked.end) << ":";
  for (std::size_t i = 0; i < walked.pcs.size(); ++i) {
    *out << std::hex << " " << walked.pcs[i] << " (" << walked.sps[i] << ")";
  }
}

auto Collect(Walked& walked) {
  return [&walked](const Frame& frame) {
    walked.pcs.push_back(frame.pc);
    walked.lookup_pcs.push_back(frame.lookup_pc);
    walked.sps.push_back(frame.sp);
    return true;
  };
}

// How both end.
WalkEnd ExpectAgreement(const StackSnapshot& snapshot) {
  Walked ours, theirs;
  ours.end = WalkStack(snapshot, Collect(ours)).end;
  theirs.end = WalkStackByLibunwind(snapshot, Collect(theirs)).end;
  EXPECT_EQ(ours, theirs);
  return ours.end;
}

TEST(WalkersAgreeTest, InAProgramAndInAThread) {
  EXPECT_EQ(ExpectAgreement(SnapshotOfCaller()), WalkEnd::kComplete);
  std::thread([] {
    EXPECT_EQ(ExpectAgreement(SnapshotOfCaller()), WalkEnd::kComplete);
  }).join();
}

TEST(WalkersAgreeTest, WithoutTheLockOfTheDynamicLinker) {
  const StackSnapshot snapshot = SnapshotOfCaller();
  Walked walked;
  lists_of_objects = 0;
  walked.end = WalkStackByLibunwind(snapshot, Collect(walked)).end;
  EXPECT_EQ(lists_of_objects, 0);
  EXPECT_EQ(walked.end, WalkEnd::kComplete);
  EXPECT_GT(walked.pcs.size(), 3u);
}

TEST(WalkersAgreeTest, ThroughFramesOfEveryShape) {
  for (const WalkCase& each : WalkCases()) {
    SCOPED_TRACE(each.name);
    bool called = false;
    each.function([&] {
      called = true;
      EXPECT_EQ(ExpectAgreement(SnapshotOfCaller()), WalkEnd::kComplete);
    });
    EXPECT_TRUE(called);
  }
}

TEST(WalkersAgreeTest, ThroughLibc) {
  int numbers[] = {2, 1};
  std::qsort(numbers, 2, sizeof(int), [](const void*, const void*) {
    EXPECT_EQ(ExpectAgreement(SnapshotOfCaller()), WalkEnd::kComplete);
    return 0;
  });
}

TEST(WalkersAgreeTest, OnWhatIsNotComplete) {
  CallWithoutUnwindInformation([] {
    EXPECT_EQ(ExpectAgreement(SnapshotOfCaller()),
              WalkEnd::kNoUnwindInformation);
  });
  CallFromUnknownBase([] {
    EXPECT_EQ(ExpectAgreement(SnapshotOfCaller()), WalkEnd::kUnknownBase);
  });
  INSTAR_SKIP_UNDER_TSAN(
      "ThreadSanitizer lets a signal handler allocate nothing");
  static WalkEnd end;
  struct sigaction action = {};
  struct sigaction before;
  action.sa_handler = [](int) { end = ExpectAgreement(SnapshotOfCaller()); };
  sigaction(SIGUSR1, &action, &before);
  raise(SIGUSR1);
  sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(end, WalkEnd::kSignalFrame);
}

TEST(WalkersAgreeTest, OnFramesThatLieNowhere) {
  StackSnapshot snapshot = SnapshotOfCaller();
  snapshot.sp += 1;
  EXPECT_EQ(ExpectAgreement(snapshot), WalkEnd::kBoundsLeft);
  snapshot = SnapshotOfCaller();
  snapshot.pc = 16;
  EXPECT_EQ(ExpectAgreement(snapshot), WalkEnd::kUnknownCode);
}

TEST(WalkersAgreeTest, InPausedContinulets) {
  Continulet<void()> paused("paused", [](auto& self) {
    for (const WalkCase& each : WalkCases()) {
      each.function([&] { self.Switch(); });
    }
  });
  for (std::size_t i = 0; i < WalkCases().size(); ++i) {
    SCOPED_TRACE(WalkCases()[i].name);
    paused.Switch();
    EXPECT_EQ(ExpectAgreement(SnapshotOf(*paused.paused_context())),
              WalkEnd::kComplete);
  }
}

TEST(WalkersAgreeTest, InRunningContinulets) {
  Continulet<void()> outer("outer", [](auto&) {
    Continulet<void()> inner("inner", [](auto&) {
      StackSnapshot snapshot = SnapshotOfCaller();
      StackSnapshot switchers[4];
      EXPECT_EQ(LinkSwitchers(&snapshot, switchers, 4), 2);
      EXPECT_EQ(ExpectAgreement(snapshot), WalkEnd::kComplete);
    });
    UnoptimizedFrame([&] { inner.Switch(); });
  });
  outer.Switch();
}

TEST(WalkersAgreeTest, OnCopies) {
  Recurse(5, [] {
    StackSnapshot snapshot = SnapshotOfCaller();
    const std::size_t size = snapshot.bounds.high - snapshot.sp;
    std::vector<char> copy(size);
    CopyStack(copy.data(), snapshot.sp, size);
    snapshot.copy_offset =
        reinterpret_cast<std::uintptr_t>(copy.data()) - snapshot.sp;
    EXPECT_EQ(ExpectAgreement(snapshot), WalkEnd::kComplete);
  });
}

// Calls and returns as a random number says, and walks at each step.
class RandomTree : public Tree {
 public:
  explicit RandomTree(unsigned seed) : random_(seed) {}

  int Next(int) override {
    if (--steps_ < 0) return -1;
    EXPECT_EQ(ExpectAgreement(SnapshotOfCaller()), WalkEnd::kComplete);
    const int choice = static_cast<int>(random_() % 11);
    return choice < 8 ? choice : -1;
  }

 private:
  std::mt19937 random_;
  int steps_ = 60;
};

TEST(WalkersAgreeTest, InRandomTreesOfCalls) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    for (const auto* functions :
         {&unoptimized::TreeFunctions(), &optimized::TreeFunctions(),
          &without_frame_pointers::TreeFunctions()}) {
      RandomTree tree(seed);
      (*functions)[seed % 8](&tree);
    }
  }
}

}  // namespace
}  // namespace instar
