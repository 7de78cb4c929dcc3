// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a switch preserves, and what debuggers, profilers and stack walkers see.

#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <cfenv>
#include <cstdint>
#include <cstdio>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/base/config.h"
#include "continuation/continulet.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(ContinuletContextTest, TheFloatingPointEnvironmentIsTheThreads) {
  std::feclearexcept(FE_ALL_EXCEPT);
  std::fesetround(FE_DOWNWARD);
  Continulet<void()> c("rounding", [](auto& self) {
    EXPECT_EQ(std::fegetround(), FE_DOWNWARD);
    std::fesetround(FE_UPWARD);
    std::feraiseexcept(FE_DIVBYZERO);
    self.Switch();
    EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  });
  c.Switch();
  EXPECT_EQ(std::fegetround(), FE_UPWARD);
  EXPECT_NE(std::fetestexcept(FE_DIVBYZERO), 0);
  std::fesetround(FE_TONEAREST);
  c.Switch();
  std::feclearexcept(FE_ALL_EXCEPT);
}

thread_local int thread_local_number = 0;

TEST(ContinuletContextTest, ThreadLocalsAreCurrentAfterASwitch) {
  std::thread([] {
    thread_local_number = 1;
    Continulet<void()> c("tls", [](auto& self) {
      EXPECT_EQ(thread_local_number, 1);
      thread_local_number = 2;
      self.Switch();
      EXPECT_EQ(thread_local_number, 3);
    });
    c.Switch();
    EXPECT_EQ(thread_local_number, 2);
    thread_local_number = 3;
    c.Switch();
  }).join();
}

// More live values than there are registers, of every kind.
ABSL_ATTRIBUTE_NOINLINE double UseManyRegisters(Continulet<void()>* c,
                                                std::uint64_t seed) {
  std::uint64_t integers[12];
  double doubles[20];
  long double extended = 1.0L / static_cast<long double>(seed);
  for (int i = 0; i < 12; ++i) integers[i] = seed * (i + 3);
  for (int i = 0; i < 20; ++i) doubles[i] = 1.5 * static_cast<double>(seed + i);
  c->Switch();
  double sum = static_cast<double>(extended);
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(integers[i]);
  for (int i = 0; i < 20; ++i) sum -= doubles[i];
  return sum;
}

TEST(ContinuletContextTest, RegistersSurvive) {
  Continulet<void()> idle("idle", [](auto& self) {
    for (;;) self.Switch();
  });
  Continulet<void()> scrambling("scrambling", [](auto& self) {
    double x = 0;
    std::uint64_t seed = 1;
    for (;;) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      x += static_cast<double>(seed >> 40) / 3;
      self.Switch();
      EXPECT_GE(x, 0);
    }
  });
  for (std::uint64_t seed = 1; seed < 100; ++seed) {
    EXPECT_EQ(UseManyRegisters(&scrambling, seed),
              UseManyRegisters(&idle, seed));
  }
}

TEST(ContinuletContextTest, APausedOneSaysWhereItIs) {
  std::uintptr_t local_address = 0;
  Continulet<void()> c("paused", [&](auto& self) {
    int local = 0;
    local_address = reinterpret_cast<std::uintptr_t>(&local);
    self.Switch();
  });
  EXPECT_FALSE(c.paused_context().has_value());
  c.Switch();
  const std::optional<PausedContext> context = c.paused_context();
  ASSERT_TRUE(context.has_value());
  EXPECT_GE(context->sp, context->stack_low);
  EXPECT_LT(context->sp, context->stack_high);
  EXPECT_GE(local_address, context->sp);
  EXPECT_LT(local_address, context->stack_high);
  EXPECT_GE(context->stack_high - context->stack_low, kDefaultStackSize);
  c.Switch();
  EXPECT_FALSE(c.paused_context().has_value());
}

std::vector<PausedComputation> PausedOfThisThread() {
  std::vector<PausedComputation> paused;
  VisitPausedComputationsOfThisThread(
      [&](const PausedComputation& computation) {
        EXPECT_EQ(computation.tid, gettid());
        paused.push_back(computation);
      });
  std::size_t of_this_thread = 0;
  VisitPausedComputations([](int tid) { return tid == gettid(); },
                          [&](const PausedComputation&) { ++of_this_thread; });
  EXPECT_EQ(of_this_thread, paused.size());
  return paused;
}

TEST(ContinuletContextTest, EveryPausedComputationIsVisited) {
  EXPECT_TRUE(PausedOfThisThread().empty());
  EXPECT_FALSE(SwitcherContext().has_value());
  int on_threads_stack = 0;
  Continulet<void()> paused("paused", [](auto& self) { self.Switch(); });
  paused.Switch();
  ASSERT_EQ(PausedOfThisThread().size(), 1u);
  EXPECT_EQ(PausedOfThisThread()[0].continulet, "paused");
  EXPECT_EQ(PausedOfThisThread()[0].context.sp, paused.paused_context()->sp);

  Continulet<void()> outer("outer", [&](auto&) {
    Continulet<void()> inner("inner", [&](auto&) {
      // Paused: "paused", the thread itself (for outer) and outer (for inner).
      const std::vector<PausedComputation> all = PausedOfThisThread();
      ASSERT_EQ(all.size(), 3u);
      EXPECT_EQ(all[0].continulet, "outer");
      EXPECT_EQ(all[1].continulet, "");
      EXPECT_EQ(all[2].continulet, "paused");
      const auto address = reinterpret_cast<std::uintptr_t>(&on_threads_stack);
      EXPECT_GT(address, all[1].context.sp);
      EXPECT_LT(address, all[1].context.stack_high);
      EXPECT_GE(address, all[1].context.stack_low);
      EXPECT_EQ(SwitcherContext()->sp, all[0].context.sp);
    });
    inner.Switch();
  });
  outer.Switch();
  EXPECT_EQ(PausedOfThisThread().size(), 1u);
  paused.Switch();
  EXPECT_TRUE(PausedOfThisThread().empty());
}

TEST(ContinuletContextTest, AForkedChildHasTheContinuletsOfItsThread) {
  Continulet<int()> mine("mine", [](auto& self) {
    self.Switch(1);
    return 2;
  });
  mine.Switch();
  // Another thread, which the child will not have, with a paused continulet.
  std::promise<void> paused;
  std::promise<void> forked;
  std::thread other([&] {
    Continulet<void()> c("another's", [](auto& self) { self.Switch(); });
    c.Switch();
    paused.set_value();
    forked.get_future().wait();
  });
  paused.get_future().wait();
  const pid_t child = fork();
  if (child == 0) {
    int visited = 0;
    int of_this_thread = 0;
    const auto all = [](int) { return true; };
    VisitPausedComputations(all, [&](const PausedComputation& computation) {
      ++visited;
      of_this_thread += computation.tid == gettid();
    });
    bool right = visited == 1 && of_this_thread == 1;
#ifndef ABSL_HAVE_THREAD_SANITIZER
    // In such a child ThreadSanitizer ignores what the forking thread's own
    // stack synchronizes, but not what other stacks access: it sees false
    // races.
    right = right && mine.Switch() == 2;
#endif
    _exit(right ? 0 : 1);
  }
  forked.set_value();
  other.join();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(mine.Switch(), 2);
}

struct Frames {
  std::vector<std::uintptr_t> pcs;
  bool end_of_stack = false;
};

Frames Backtrace() {
  Frames frames;
  const _Unwind_Reason_Code reason = _Unwind_Backtrace(
      [](_Unwind_Context* context, void* result) {
        static_cast<Frames*>(result)->pcs.push_back(_Unwind_GetIP(context));
        return _URC_NO_REASON;
      },
      &frames);
  frames.end_of_stack = reason == _URC_END_OF_STACK;
  return frames;
}

TEST(ContinuletContextTest, UnwindersStopAtTheBase) {
  Continulet<void()> outer("outer", [](auto&) {
    Continulet<void()> inner("inner", [](auto&) {
      const Frames frames = Backtrace();
      EXPECT_TRUE(frames.end_of_stack);
      ASSERT_GE(frames.pcs.size(), 3u);
      EXPECT_LT(frames.pcs.size(), 20u);  // the outer stack is not part of it
      int at_base = 0;
      for (const std::uintptr_t pc : frames.pcs)
        at_base += IsContinuletBase(pc);
      EXPECT_EQ(at_base, 1);
    });
    inner.Switch();
  });
  outer.Switch();
}

TEST(ContinuletContextTest, AChainOfFramePointersEndsAtTheBase) {
  Continulet<void()> c("chained", [](auto&) {
    auto* frame = static_cast<std::uintptr_t*>(__builtin_frame_address(0));
    int frames = 0;
    while (frame != nullptr && frames < 50) {
      frame = reinterpret_cast<std::uintptr_t*>(*frame);
      ++frames;
    }
    EXPECT_EQ(frame, nullptr);
    EXPECT_GE(frames, 2);
  });
  c.Switch();
}

// Answers what gdb prints for the stack of a process stopped in a continulet.
TEST(ContinuletContextTest, GdbSeesTheStackEndAtTheBase) {
  if (access("/usr/bin/gdb", X_OK) != 0) GTEST_SKIP() << "gdb is not installed";
  std::string output;
  Continulet<void()> c("debugged", [&](auto&) {
    const std::string command = "/usr/bin/gdb -nx -batch -p " +
                                std::to_string(getpid()) +
                                " -ex 'thread apply all backtrace' 2>&1";
    FILE* gdb = popen(command.c_str(), "r");
    ASSERT_NE(gdb, nullptr);
    char line[1024];
    while (fgets(line, sizeof(line), gdb) != nullptr) output += line;
    pclose(gdb);
  });
  c.Switch();
  if (output.find("ptrace: Operation not permitted") != std::string::npos) {
    GTEST_SKIP() << "this system does not allow gdb to attach";
  }
  EXPECT_NE(output.find("instar_continulet_start ("), std::string::npos)
      << output;
  EXPECT_EQ(output.find("corrupt stack"), std::string::npos) << output;
  EXPECT_EQ(
      output.find("_start ()", output.find("instar_continulet_start (") + 24),
      std::string::npos)
      << output;
}

}  // namespace
}  // namespace instar
