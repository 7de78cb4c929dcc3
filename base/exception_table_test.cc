// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/exception_table.h"

#include <pthread.h>
#include <unistd.h>
#include <unwind.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <typeinfo>
#include <vector>

#include "base/exception_table_cases.h"
#include "base/unwind_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

// The effect of the frame of the case, asked from its action. The frames
// between (std::function's) are recognised by their not being the case.
ExceptionEffect EffectOf(const Case& test_case, ExceptionOutcome* whole) {
  ExceptionEffect effect;
  Trace trace;
  trace.action = [&] {
    void* frames[8];
    int count = 0;
    struct Context {
      void** frames;
      int* count;
    } context{frames, &count};
    _Unwind_Backtrace(
        [](_Unwind_Context* frame, void* argument) {
          auto* context = static_cast<Context*>(argument);
          if (*context->count == 8) return _URC_NORMAL_STOP;
          context->frames[(*context->count)++] =
              reinterpret_cast<void*>(_Unwind_GetIP(frame));
          return _URC_NO_REASON;
        },
        &context);
    UnwindEntry wanted;
    ASSERT_EQ(
        FindUnwindEntry(reinterpret_cast<std::uintptr_t>(test_case.function),
                        &wanted),
        UnwindLookup::kFound);
    for (int i = 0; i < count; ++i) {
      const auto pc = reinterpret_cast<std::uintptr_t>(frames[i]) - 1;
      if (pc >= wanted.start && pc < wanted.end) {
        effect = EffectOnException(pc);
        break;
      }
    }
    const std::optional<UnsafeFrame> frame = FrameThatTerminates();
    *whole =
        frame.has_value() ? frame->effect.outcome : ExceptionOutcome::kPasses;
  };
  test_case.function(&trace);
  return effect;
}

// Another compiler, or instrumentation, takes another way to the same fate:
// clang's noexcept is a landing pad, and ThreadSanitizer gives every function a
// cleanup.
std::string Kind(ExceptionOutcome outcome) {
#if defined(__clang__) || defined(__SANITIZE_THREAD__)
  if (outcome == ExceptionOutcome::kTerminates) {
    outcome = ExceptionOutcome::kMayTerminate;
  }
  if (outcome == ExceptionOutcome::kPasses) {
    outcome = ExceptionOutcome::kCleanup;
  }
#endif
  return ToString(outcome);
}

// clang gives a catch clause that may itself throw a second landing pad, which
// ends in std::terminate; as said in the header, such functions are called
// unsafe though they are not.
#ifdef __clang__
constexpr bool kExact = false;
#else
constexpr bool kExact = true;
#endif

class ExceptionTableTest : public testing::TestWithParam<Case> {};

TEST_P(ExceptionTableTest, PredictsWhatHappens) {
  const Case& test_case = GetParam();
  ExceptionOutcome whole;
  const ExceptionEffect effect = EffectOf(test_case, &whole);
  if (StopsException(test_case.outcome)) {
    // The frame that stops it may be that of a destructor which the case runs.
    EXPECT_EQ(Kind(whole), Kind(test_case.outcome));
  } else if (kExact) {
    EXPECT_EQ(Kind(effect.outcome), Kind(test_case.outcome));
    EXPECT_FALSE(StopsException(whole)) << ToString(whole);
  }
}

TEST_P(ExceptionTableTest, HappensAsPredicted) {
  const Case& test_case = GetParam();
  Trace trace;
  trace.action = [] { throw ThrownByTest(); };
  if (test_case.fate == Fate::kTerminates) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "GCC's -fsanitize=thread adds a cleanup to each function, "
                    "through which exceptions leave some noexcept ones";
#endif
    EXPECT_DEATH(
        {
          try {
            test_case.function(&trace);
          } catch (...) {
            _exit(0);
          }
        },
        "terminate called");
    return;
  }
  bool arrived = false;
  try {
    test_case.function(&trace);
  } catch (const ThrownByTest&) {
    arrived = true;
  }
  EXPECT_EQ(arrived, test_case.fate == Fate::kArrives);
  EXPECT_EQ(trace.caught, test_case.fate == Fate::kCaught ? 1 : 0);
  EXPECT_EQ(trace.destructors, test_case.destructors);
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Unoptimized, ExceptionTableTest,
                         testing::ValuesIn(unoptimized::Cases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Optimized, ExceptionTableTest,
                         testing::ValuesIn(optimized::Cases()), NameOf);

TEST(ExceptionTableTest, NamesTheTypeThatIsCaught) {
  for (const Case& test_case : optimized::Cases()) {
    if (test_case.name != std::string("ItsTypeCaught")) continue;
    ExceptionOutcome whole;
    const ExceptionEffect effect = EffectOf(test_case, &whole);
    ASSERT_NE(effect.catches, nullptr);
    EXPECT_EQ(*effect.catches, typeid(ThrownByTest));
    EXPECT_NE(effect.landing_pad, 0u);
    EXPECT_EQ(effect.function_start,
              reinterpret_cast<std::uintptr_t>(test_case.function));
    return;
  }
  FAIL() << "no such case";
}

TEST(ExceptionTableTest, UnknownCodeHasAnUnknownEffect) {
  int data = 0;
  const auto effect =
      EffectOnException(reinterpret_cast<std::uintptr_t>(&data));
  EXPECT_EQ(effect.outcome, ExceptionOutcome::kUnknown);
  EXPECT_TRUE(StopsException(effect.outcome));
}

extern "C" int CompareAndAsk(const void* left, const void* right) {
  EXPECT_FALSE(FrameThatTerminates().has_value());
  return *static_cast<const int*>(left) - *static_cast<const int*>(right);
}

TEST(FrameThatTerminatesTest, PassesTheFramesOfLibc) {
  int numbers[] = {3, 1, 2};
  std::qsort(numbers, 3, sizeof(int), &CompareAndAsk);
  EXPECT_THAT(numbers, testing::ElementsAre(1, 2, 3));
}

TEST(FrameThatTerminatesTest, IsRightToTheBaseOfAThread) {
  // The entry of std::thread lets exceptions pass, into start_thread, which
  // has no table of C++: nothing on the way calls std::terminate.
  pthread_t thread;
  bool asked = false;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* asked) -> void* {
                  EXPECT_FALSE(FrameThatTerminates().has_value());
                  *static_cast<bool*>(asked) = true;
                  return nullptr;
                },
                &asked),
            0);
  pthread_join(thread, nullptr);
  EXPECT_TRUE(asked);
}

// Frames around the catcher do not matter: it is where the exception ends.
__attribute__((noinline)) void CatchInNoexcept(
    const Case& inner, std::optional<UnsafeFrame>* frame) noexcept {
  const void* base = __builtin_frame_address(0);
  Trace trace;
  trace.action = [&] { *frame = FrameThatTerminates(base); };
  inner.function(&trace);
}

TEST(FrameThatTerminatesTest, LooksNoFurtherThanTheBase) {
  for (const auto* cases : {&unoptimized::Cases(), &optimized::Cases()}) {
    for (const Case& test_case : *cases) {
      SCOPED_TRACE(test_case.name);
      std::optional<UnsafeFrame> frame;
      CatchInNoexcept(test_case, &frame);
      if (kExact || StopsException(test_case.outcome)) {
        ASSERT_EQ(frame.has_value(), StopsException(test_case.outcome));
      }
      if (!frame.has_value()) continue;
      if (kExact) {
        EXPECT_EQ(Kind(frame->effect.outcome), Kind(test_case.outcome));
      }
      EXPECT_GT(frame->depth, 0);
      EXPECT_NE(frame->pc, 0u);
    }
  }
}

TEST(FrameThatTerminatesTest, SaysThatTheBaseIsNotOnTheStack) {
  const std::optional<UnsafeFrame> frame =
      FrameThatTerminates(reinterpret_cast<void*>(~std::uintptr_t{0} - 7));
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->pc, 0u);
  EXPECT_EQ(frame->effect.outcome, ExceptionOutcome::kUnknown);
}

}  // namespace
}  // namespace instar
