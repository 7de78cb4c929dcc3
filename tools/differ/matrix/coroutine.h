// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_TOOLS_DIFFER_MATRIX_COROUTINE_H_
#define INSTAR_TOOLS_DIFFER_MATRIX_COROUTINE_H_

#include <coroutine>
#include <exception>

class Numbers {
 public:
  struct promise_type {
    int value = 0;
    Numbers get_return_object() {
      return Numbers(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(int v) {
      value = v;
      return {};
    }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  explicit Numbers(std::coroutine_handle<promise_type> handle)
      : handle_(handle) {}
  ~Numbers() { handle_.destroy(); }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;

  int Next() {
    handle_.resume();
    return handle_.promise().value;
  }

 private:
  std::coroutine_handle<promise_type> handle_;
};

Numbers Count(int from);
int Doubled(Numbers& numbers);

#endif  // INSTAR_TOOLS_DIFFER_MATRIX_COROUTINE_H_
