// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/coroutine_frames.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kTask[] = R"(
  #include <coroutine>
  struct Task {
    struct promise_type {
      Task get_return_object() {
        return {std::coroutine_handle<promise_type>::from_promise(*this)};
      }
      std::suspend_always initial_suspend() noexcept { return {}; }
      std::suspend_always final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() {}
      std::suspend_always yield_value(int v) { value = v; return {}; }
      int value;
    };
    std::coroutine_handle<promise_type> handle;
  };
  void Use(int);
  )";

class CoroutineFramesTest : public ::testing::TestWithParam<const char*> {
 protected:
  static std::vector<Coroutine> Of(const std::string& source) {
    const CompiledObject object(kTask + source, ".cc", GetParam());
    EXPECT_TRUE(object.status().ok()) << object.status();
    return object.status().ok() ? CoroutinesOf(*object)
                                : std::vector<Coroutine>();
  }
  static Coroutine OfBody(const std::string& body) {
    const auto coroutines =
        Of("namespace shop { Task Serve(int n) { " + body + " } }");
    EXPECT_EQ(coroutines.size(), 1u);
    return coroutines.size() == 1 ? coroutines[0] : Coroutine();
  }
};

INSTANTIATE_TEST_SUITE_P(Flags, CoroutineFramesTest,
                         ::testing::Values("-std=c++20 -O0 -g",
                                           "-std=c++20 -O2 -g",
                                           "-std=c++20 -O2 -gdwarf-4"));

TEST_P(CoroutineFramesTest, RampActorDestroyerAndFrame) {
  const Coroutine serve = OfBody(
      "int sum = 0; for (int i = 0; i < n; ++i) { "
      "sum += i; co_yield sum; }");
  EXPECT_EQ(serve.ramp, "_ZN4shop5ServeEi");
  EXPECT_THAT(serve.actor, ::testing::EndsWith("_ZN4shop5ServeEi.Frame.actor"));
  EXPECT_THAT(serve.destroyer,
              ::testing::EndsWith("_ZN4shop5ServeEi.Frame.destroy"));
  EXPECT_EQ(serve.suspend_points, 3);
  EXPECT_GT(serve.frame_size, 0u);
  bool has_promise = false;
  int ints = 0;
  for (const FrameMember& member : serve.members) {
    has_promise |= member.type == "Task::promise_type";
    ints += member.type == "int" ? 1 : 0;
  }
  EXPECT_TRUE(has_promise);
  EXPECT_EQ(ints, 3) << "n, sum, i";
}

TEST_P(CoroutineFramesTest, OfMembersAndOfWhatIsLocalToTheFile) {
  const auto coroutines = Of(R"(
      namespace shop {
      struct Site { int a; Task Run(int k) { co_yield a; co_yield k; } };
      static Task Local(int q) { co_yield q; }
      Task First(int q) { return Local(q); }
      Task Second() { Site site{3}; return site.Run(3); }
      int None(int q) { return q; }
      })");
  ASSERT_EQ(coroutines.size(), 2u);
  EXPECT_EQ(coroutines[0].ramp, "_ZN4shop4Site3RunEi");
  EXPECT_EQ(coroutines[0].suspend_points, 4);
  EXPECT_EQ(coroutines[1].ramp, "_ZN4shopL5LocalEi");
  EXPECT_EQ(coroutines[1].suspend_points, 3);
  for (const Coroutine& coroutine : coroutines) {
    EXPECT_FALSE(coroutine.actor.empty());
    EXPECT_FALSE(coroutine.destroyer.empty());
    EXPECT_FALSE(coroutine.members.empty());
  }
}

TEST_P(CoroutineFramesTest, WhatDiffers) {
  const Coroutine was = OfBody("int a = n; co_yield a; Use(a);");
  EXPECT_EQ(
      FrameDifference(was, OfBody("int a = n + 1; co_yield a; Use(2 * a);")),
      "");
  EXPECT_EQ(FrameDifference(was, OfBody("int a = n; co_yield a; Use(a); "
                                        "co_yield n;")),
            "the frame of _ZN4shop5ServeEi has 4 suspend points, had 3");
  EXPECT_THAT(
      FrameDifference(was, OfBody("long a = n; co_yield a; Use((int)a);")),
      HasSubstr("the frame of _ZN4shop5ServeEi has a"));
  EXPECT_NE(FrameDifference(
                was, OfBody("int a = n; int b = n; co_yield a; Use(a + b);")),
            "");
}

TEST_P(CoroutineFramesTest, NoneInAnObjectWithoutThem) {
  EXPECT_THAT(Of("struct Frame { int a; } frame; int f() { return frame.a; }"),
              IsEmpty());
}

}  // namespace
}  // namespace differ
}  // namespace instar
