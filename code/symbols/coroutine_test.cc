// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/coroutine.h"

#ifdef __cpp_impl_coroutine
#include <coroutine>
#endif

#include "code/symbols/function.h"
#include "gtest/gtest.h"

namespace instar {
namespace coroutine_test {

// clang 14 has none that work with GCC 12's library.
#ifdef __cpp_impl_coroutine

struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};

Task Serve(int n) {
  if (n > 0) co_await std::suspend_never();
}
Task Serve(long) { return Serve(1); }  // hands one on
int Count(int n) { return n + 1; }

struct Shop {
  Task Open(int n) const {
    if (n > 0) co_await std::suspend_never();
  }
};

TEST(CoroutineTest, IsTold) {
  Shop().Open(1);
  const auto serve = Function::Of(static_cast<Task (*)(int)>(&Serve));
  ASSERT_TRUE(serve.ok()) << serve.status();
  EXPECT_TRUE(IsCoroutine(*serve));
  const auto open = Function::Of(&Shop::Open);
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_TRUE(IsCoroutine(*open));
  const auto hands_on = Function::Of(static_cast<Task (*)(long)>(&Serve));
  ASSERT_TRUE(hands_on.ok()) << hands_on.status();
  EXPECT_FALSE(IsCoroutine(*hands_on));
  EXPECT_FALSE(IsCoroutine(*Function::Of(&Count)));
}

#endif  // __cpp_impl_coroutine

}  // namespace coroutine_test
}  // namespace instar
