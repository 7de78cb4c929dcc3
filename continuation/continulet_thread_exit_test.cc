// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that end in a continulet's body: all of their stacks are unwound.

#include <pthread.h>

#include <functional>
#include <string>
#include <vector>

#include "base/testing/sanitizers.h"
#include "continuation/continulet.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

// What was destroyed, in order.
std::vector<std::string>& Destroyed() {
  static auto& destroyed = *new std::vector<std::string>;
  return destroyed;
}

struct Noted {
  explicit Noted(std::string name) : name(std::move(name)) {}
  ~Noted() { Destroyed().push_back(name); }
  const std::string name;
};

// Runs `function` in a thread of its own and returns what it exits with.
void* ExitOf(std::function<void()> function) {
  Destroyed().clear();
  pthread_t thread;
  EXPECT_EQ(pthread_create(
                &thread, nullptr,
                [](void* argument) -> void* {
                  const Noted base("base");
                  (*static_cast<std::function<void()>*>(argument))();
                  return nullptr;
                },
                &function),
            0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(thread, &result), 0);
  return result;
}

using Names = std::vector<std::string>;

int answer = 42;

TEST(ContinuletThreadExitTest, PthreadExitInABodyUnwindsAllStacks) {
  INSTAR_SKIP_UNDER_TSAN(kExitsOnNoFiber);
  void* const result = ExitOf([] {
    const Noted switcher("switcher");
    Continulet<void()> body("body", [](auto&) {
      const Noted in_body("in body");
      pthread_exit(&answer);
    });
    body.Switch();
    ADD_FAILURE() << "the switch returned";
  });
  EXPECT_EQ(result, &answer);
  EXPECT_EQ(Destroyed(), (Names{"in body", "switcher", "base"}));
}

TEST(ContinuletThreadExitTest, ThroughSeveralAndBesidesOnesThatArePaused) {
  INSTAR_SKIP_UNDER_TSAN(kExitsOnNoFiber);
  void* const result = ExitOf([] {
    Continulet<int(int)> paused("paused", [](auto& self, int) -> int {
      const Noted in_paused("in paused");
      self.Switch(1);
      return 2;
    });
    EXPECT_EQ(paused.Switch(0), 1);
    Continulet<int()> outer("outer", [](auto&) -> int {
      const Noted in_outer("in outer");
      Continulet<void()> inner("inner", [](auto& self) {
        const Noted in_inner("in inner");
        self.Switch();
        pthread_exit(&answer);
      });
      inner.Switch();
      inner.Switch();
      return 0;
    });
    outer.Switch();
  });
  EXPECT_EQ(result, &answer);
  EXPECT_EQ(Destroyed(), (Names{"in inner", "in outer", "in paused", "base"}));
}

TEST(ContinuletThreadExitTest, AfterSwitchToAndInACatch) {
  INSTAR_SKIP_UNDER_TSAN(kExitsOnNoFiber);
  void* const result = ExitOf([] {
    using Part = Continulet<void()>;
    Part second("second", [](Part::Self&) {
      try {
        throw 1;
      } catch (int) {
        pthread_exit(&answer);
      }
    });
    Part first("first", [&](Part::Self& self) {
      const Noted in_first("in first");
      self.SwitchTo(second);
    });
    try {
      throw std::string("ours");
    } catch (const std::string&) {
      first.Switch();
    }
  });
  EXPECT_EQ(result, &answer);
  EXPECT_EQ(Destroyed(), (Names{"in first", "base"}));
}

TEST(ContinuletThreadExitTest, PthreadCancelInABody) {
  void* const result = ExitOf([] {
    Continulet<void()> body("body", [](auto&) {
      const Noted in_body("in body");
      pthread_cancel(pthread_self());
      pthread_testcancel();
    });
    body.Switch();
  });
  EXPECT_EQ(result, PTHREAD_CANCELED);
  EXPECT_EQ(Destroyed(), (Names{"in body", "base"}));
}

TEST(ContinuletThreadExitTest, BodyThatExitsWhenItIsCancelled) {
  INSTAR_SKIP_UNDER_TSAN(kExitsOnNoFiber);
  void* const result = ExitOf([] {
    Continulet<void()> body("body", [](auto& self) {
      try {
        self.Switch();
      } catch (...) {
        pthread_exit(&answer);
      }
    });
    body.Switch();
    body.Cancel();
    ADD_FAILURE() << "the cancellation returned";
  });
  EXPECT_EQ(result, &answer);
  EXPECT_EQ(Destroyed(), (Names{"base"}));
}

TEST(ContinuletThreadExitTest, ThreadsAreReusedAfterwards) {
  INSTAR_SKIP_UNDER_TSAN(kExitsOnNoFiber);
  for (int i = 0; i < 100; ++i) {
    ExitOf([] {
      Continulet<void()> body("body", [](auto&) { pthread_exit(&answer); });
      body.Switch();
    });
  }
  Continulet<int()> body("body", [](auto&) { return 7; });
  EXPECT_EQ(body.Switch(), 7);
}

}  // namespace
}  // namespace instar
