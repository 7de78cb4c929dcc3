// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/replace_activation.h"

#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/exposed_values.h"
#include "updates/mechanisms/activation_test/replace_activation_cases.h"

namespace instar {

thread_local std::function<void()> at_point;
thread_local std::vector<std::string> destroyed;

void Point() {
  if (at_point) at_point();
}
Tracer::~Tracer() { destroyed.push_back(name); }

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The same functions at one level of optimization.
struct Cases {
  const char* level;
  void (*fill_list)(std::vector<int>&, int);
  long (*call_fill_list)(std::vector<int>&, int);
  double (*average)(double, double);
  double (*call_average)(double);
  Pair (*split)(double);
  Pair (*call_split)(double);
  int& (*choose)(int&);
  std::string (*spell)(int);
  std::string (*call_spell)(int);
  int (*depth)(int);
  int (*with_noexcept)(int);
  int (*with_destructor)(int);
  int (*with_rethrow)(int);
  int (*with_swallower)(int);
  int (*in_handler)(int);
  int (*call_in_handler)(int);
  int (*call_and_catch)(int);
};

#define INSTAR_CASES_OF(l)                                              \
  Cases {                                                               \
#l, &l::FillList, &l::CallFillList, &l::Average, &l::CallAverage,   \
        &l::Split, &l::CallSplit, &l::Choose, &l::Spell, &l::CallSpell, \
        &l::Depth, &l::WithNoexceptAbove, &l::WithDestructorAbove,      \
        &l::WithRethrowAbove, &l::WithSwallowerAbove, &l::InHandler,    \
        &l::CallInHandler, &l::CallAndCatch                             \
  }

class ReplaceActivationTest : public ::testing::TestWithParam<Cases> {
 protected:
  void SetUp() override { destroyed.clear(); }
  void TearDown() override { at_point = nullptr; }
};

INSTANTIATE_TEST_SUITE_P(Levels, ReplaceActivationTest,
                         ::testing::Values(INSTAR_CASES_OF(level0),
                                           INSTAR_CASES_OF(level2),
                                           INSTAR_CASES_OF(level3)),
                         [](const auto& info) { return info.param.level; });

// Acts at the n-th point only.
void AtPoint(int n, std::function<void()> act) {
  at_point = [n, act = std::move(act)]() mutable {
    if (n-- == 0) act();
  };
}

struct ListState {
  std::vector<int>* list;
  int next;
  int size;
};

void FillRest(ListState state) {
  for (int i = state.next + 1; i < state.size; ++i) {
    state.list->push_back(1000 + i);
  }
}

absl::StatusOr<ListState> CaptureList(StackBounds frame, int size) {
  INSTAR_ASSIGN_OR_RETURN(std::vector<int>* const list,
                          ReadExposed<std::vector<int>* const>("list", frame));
  INSTAR_ASSIGN_OR_RETURN(const int next, ReadExposed<int>("next", frame));
  return ListState{list, next, size};
}

TEST_P(ReplaceActivationTest, ListIsFilledHalfByEachVersion) {
  std::vector<int> untouched;
  const long expected = GetParam().call_fill_list(untouched, 10);
  destroyed.clear();
  AtPoint(5, [&] {
    const absl::Status refused = ReplaceActivation(
        GetParam().fill_list, &FillRest,
        [](StackBounds frame) { return CaptureList(frame, 10); });
    FAIL() << refused;
  });
  std::vector<int> list;
  EXPECT_EQ(GetParam().call_fill_list(list, 10), expected);
  EXPECT_THAT(list, ElementsAre(0, 1, 2, 3, 4, 5, 1006, 1007, 1008, 1009));
  EXPECT_THAT(destroyed,
              ElementsAre("between", "between", "between", "between", "between",
                          "between", "FillList", "CallFillList"));
}

TEST_P(ReplaceActivationTest, EveryMomentOfManyRuns) {
  std::vector<int> untouched;
  const long expected = GetParam().call_fill_list(untouched, 20);
  for (int run = 0; run < 2000; ++run) {
    AtPoint(run % 20, [&] {
      EXPECT_EQ(ReplaceActivation(
                    GetParam().fill_list, &FillRest,
                    [](StackBounds frame) { return CaptureList(frame, 20); }),
                absl::OkStatus());
    });
    std::vector<int> list;
    ASSERT_EQ(GetParam().call_fill_list(list, 20), expected);
    ASSERT_EQ(list.size(), 20);
    for (int i = 0; i < 20; ++i) ASSERT_EQ(list[i] % 1000, i);
    ASSERT_EQ(std::accumulate(list.begin(), list.end(), 0) / 1000,
              19 - run % 20);
  }
}

TEST_P(ReplaceActivationTest, FloatingPointResult) {
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().average, +[](double sum) { return sum * 10; },
        [](StackBounds frame) { return ReadExposed<double>("sum", frame); });
  });
  EXPECT_EQ(GetParam().call_average(1.0), 30 + 3);
}

TEST_P(ReplaceActivationTest, ResultInTwoKindsOfRegisters) {
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().split,
        +[](double a) {
          return Pair{41, a + 1};
        },
        [](StackBounds frame) { return ReadExposed<double>("a", frame); });
  });
  const Pair pair = GetParam().call_split(2.5);
  EXPECT_EQ(pair.whole, 42);
  EXPECT_EQ(pair.part, 3.5);
}

TEST_P(ReplaceActivationTest, ResultIsAReference) {
  static int other = 9;
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().choose, +[](int*) -> int& { return other; },
        [](StackBounds) -> absl::StatusOr<int*> { return nullptr; });
  });
  int mine = 1;
  EXPECT_EQ(&GetParam().choose(mine), &other);
}

struct SpellState {
  ReturnSlot<std::string> return_slot;
  std::string so_far;
  int n;
};

std::string SpellOn(SpellState state) {
  return state.so_far + " and new" + std::to_string(state.n);
}

absl::StatusOr<SpellState> CaptureSpelling(const char* name,
                                           StackBounds frame) {
  // Not confined to the frame: the slot is the caller's, what exposes it is
  // not.
  INSTAR_ASSIGN_OR_RETURN(std::string* const result,
                          FindExposed<std::string>(name, frame));
  INSTAR_ASSIGN_OR_RETURN(const int n, ReadExposed<int>("n", frame));
  return SpellState{{result}, std::move(*result), n};
}

TEST_P(ReplaceActivationTest, ResultInMemory) {
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().spell, &SpellOn,
        [](StackBounds frame) { return CaptureSpelling("result", frame); });
  });
  EXPECT_EQ(GetParam().call_spell(3), "<old and new3>");
}

TEST_P(ReplaceActivationTest, AVariableThatIsNotTheResultIsRefused) {
  absl::Status refused;
  AtPoint(0, [&] {
    refused = ReplaceActivation(
        GetParam().spell, &SpellOn,
        [](StackBounds frame) -> absl::StatusOr<SpellState> {
          INSTAR_ASSIGN_OR_RETURN(std::string* const other,
                                  FindExposed<std::string>("other", frame));
          return SpellState{{other}, "", 0};
        });
  });
  EXPECT_EQ(GetParam().call_spell(3), "<old3>");
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("return slot"));
}

TEST_P(ReplaceActivationTest, OfARecursionTheInnermostActivation) {
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().depth, +[](int n) { return n + 100; },
        [](StackBounds frame) { return ReadExposed<int>("n", frame); });
  });
  EXPECT_EQ(GetParam().depth(1000), 1100);
  EXPECT_EQ(destroyed.size(), 1002);
}

TEST_P(ReplaceActivationTest, NewFunctionThrows) {
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().depth,
        +[](int) -> int { throw std::runtime_error("by the new one"); },
        [](StackBounds frame) { return ReadExposed<int>("n", frame); });
  });
  EXPECT_EQ(GetParam().call_and_catch(0), -7);
  EXPECT_THAT(destroyed, ElementsAre("between", "Depth", "CallAndCatch"));
}

TEST_P(ReplaceActivationTest, ExceptionInFlightIsOver) {
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().in_handler, +[](int a) { return a; },
        [](StackBounds) -> absl::StatusOr<int> { return 5; });
  });
  EXPECT_EQ(GetParam().call_in_handler(3), 5);
}

TEST_P(ReplaceActivationTest, StateIsMovedAndDestroyed) {
  auto shared = std::make_shared<int>(4);
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().depth,
        +[](std::unique_ptr<std::shared_ptr<int>> p) { return **p; },
        [&](StackBounds)
            -> absl::StatusOr<std::unique_ptr<std::shared_ptr<int>>> {
          return std::make_unique<std::shared_ptr<int>>(shared);
        });
  });
  EXPECT_EQ(GetParam().depth(0), 4);
  EXPECT_EQ(shared.use_count(), 1);
}

TEST_P(ReplaceActivationTest, InAContinulet) {
  Continulet<int()> body("body", [&](ContinuletSelf<int()>& self) {
    self.Switch(1);
    return GetParam().depth(2);
  });
  EXPECT_EQ(body.Switch(), 1);
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().depth, +[](int n) { return n + 10; },
        [](StackBounds frame) { return ReadExposed<int>("n", frame); });
  });
  EXPECT_EQ(body.Switch(), 12);
}

TEST_P(ReplaceActivationTest, ManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int run = 0; run < 300; ++run) {
        AtPoint(run % 7, [&] {
          ReplaceActivation(
              GetParam().fill_list, &FillRest,
              [](StackBounds frame) { return CaptureList(frame, 7); })
              .IgnoreError();
        });
        std::vector<int> list;
        GetParam().call_fill_list(list, 7);
        ASSERT_EQ(list.size(), 7);
        ASSERT_EQ(list[6], run % 7 == 6 ? 6 : 1006);
      }
      destroyed.clear();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Replaces, and expects to be refused with this reason.
template <typename R, typename... A>
void ExpectRefused(R (*function)(A...), absl::StatusCode code,
                   const char* reason) {
  bool captured = false;
  const absl::Status refused = ReplaceActivation(
      function, +[](int n) -> R { return R(n); },
      [&](StackBounds) -> absl::StatusOr<int> {
        captured = true;
        return 0;
      });
  EXPECT_EQ(refused.code(), code) << refused;
  EXPECT_THAT(refused.message(), HasSubstr(reason));
  EXPECT_FALSE(captured);
}

TEST_P(ReplaceActivationTest, NoexceptFrameIsRefused) {
  AtPoint(0, [&] {
    ExpectRefused(GetParam().with_noexcept,
                  absl::StatusCode::kFailedPrecondition, "NoexceptBetween");
  });
  EXPECT_EQ(GetParam().with_noexcept(3), 3);
}

TEST_P(ReplaceActivationTest, DestructorIsRefused) {
  AtPoint(0, [&] {
    ExpectRefused(GetParam().with_destructor,
                  absl::StatusCode::kFailedPrecondition, "cannot be unwound");
  });
  EXPECT_EQ(GetParam().with_destructor(3), 3);
}

TEST_P(ReplaceActivationTest, CatchAllIsRefused) {
  AtPoint(0, [&] {
    ExpectRefused(GetParam().with_swallower,
                  absl::StatusCode::kFailedPrecondition, "catch (...)");
  });
  EXPECT_EQ(GetParam().with_swallower(3), 3);
  EXPECT_THAT(destroyed, ElementsAre("between"));
}

TEST_P(ReplaceActivationTest, FramesOfCAreRefused) {
  static std::function<void()> in_c;
  in_c = [] {
    ExpectRefused(GetParam().with_rethrow,
                  absl::StatusCode::kFailedPrecondition, "is C, whose locks");
  };
  AtPoint(0, [&] {
    int numbers[] = {2, 1};
    qsort(numbers, 2, sizeof(int), [](const void*, const void*) {
      in_c();
      return 0;
    });
  });
  EXPECT_EQ(GetParam().with_rethrow(3), 3);
}

TEST_P(ReplaceActivationTest, CatchAllThatRethrowsCanBePassed) {
  ReplaceActivationOptions options;
  options.pass_catch_all = true;
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().with_rethrow, +[](int n) { return n; },
        [](StackBounds) -> absl::StatusOr<int> { return 8; }, options);
  });
  EXPECT_EQ(GetParam().with_rethrow(3), 8);
  EXPECT_THAT(destroyed, ElementsAre("between", "rethrow"));
}

TEST_P(ReplaceActivationTest, SwallowedReplacementDoesNoHarm) {
  ReplaceActivationOptions options;
  options.pass_catch_all = true;
  auto state = std::make_shared<int>(8);
  AtPoint(0, [&] {
    FAIL() << ReplaceActivation(
        GetParam().with_swallower, +[](std::shared_ptr<int> n) { return *n; },
        [&](StackBounds) -> absl::StatusOr<std::shared_ptr<int>> {
          return state;
        },
        options);
  });
  EXPECT_EQ(GetParam().with_swallower(3), 3);
  EXPECT_THAT(destroyed, ElementsAre("between", "swallow"));
  EXPECT_EQ(state.use_count(), 1);
}

TEST_P(ReplaceActivationTest, InactiveFunctionIsRefused) {
  AtPoint(0, [&] {
    ExpectRefused(GetParam().in_handler, absl::StatusCode::kNotFound,
                  "not active");
  });
  GetParam().call_average(1);
}

TEST_P(ReplaceActivationTest, ActivationOutsideTheContinuletIsRefused) {
  AtPoint(0, [&] {
    Continulet<void()> body("body", [&](ContinuletSelf<void()>&) {
      ExpectRefused(GetParam().depth, absl::StatusCode::kNotFound,
                    "not active");
    });
    body.Switch();
  });
  EXPECT_EQ(GetParam().depth(1), 1);
}

TEST_P(ReplaceActivationTest, FailedCaptureChangesNothing) {
  absl::Status refused;
  AtPoint(0, [&] {
    refused = ReplaceActivation(
        GetParam().depth, +[](int n) { return n + 100; },
        [](StackBounds frame) { return ReadExposed<int>("nothing", frame); });
  });
  EXPECT_EQ(GetParam().depth(1), 1);
  EXPECT_EQ(refused.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(refused.message(), HasSubstr("nothing"));
}

TEST(ReplaceActivationOfMemberTest, ObjectIsCaptured) {
  AtPoint(2, [&] {
    FAIL() << ReplaceActivation(
        &level2::Counter::Count,
        +[](level2::Counter* counter) { return counter->total += 100; },
        [](StackBounds frame) {
          return FindExposed<level2::Counter>("self", frame);
        });
  });
  level2::Counter counter;
  EXPECT_EQ(counter.Count(5), 103);
  EXPECT_EQ(counter.total, 103);
  at_point = nullptr;
}

struct NotTrivial {
  ~NotTrivial() {}
};
struct MovableOnly {
  MovableOnly(MovableOnly&&) = default;
  int a;
};
static_assert(kReturnsInMemory<std::string>);
static_assert(kReturnsInMemory<std::unique_ptr<int>>);
static_assert(kReturnsInMemory<NotTrivial>);
static_assert(!kReturnsInMemory<MovableOnly>);
static_assert(!kReturnsInMemory<Pair>);
static_assert(!kReturnsInMemory<void>);
static_assert(!kReturnsInMemory<long double>);
static_assert(!kReturnsInMemory<std::string&>);

}  // namespace
}  // namespace instar
