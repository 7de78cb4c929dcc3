// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/internal/cpp20_coroutine.h"

#ifdef __cpp_impl_coroutine

#include <coroutine>
#include <exception>

namespace instar {
namespace {

struct Task {
  struct promise_type {
    Task get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

Task Loop() {
  for (;;) co_await std::suspend_always();
}

}  // namespace

bool HasCpp20Coroutines() { return true; }

Cpp20Coroutine::Cpp20Coroutine() : handle_(Loop().handle.address()) {}

Cpp20Coroutine::~Cpp20Coroutine() {
  std::coroutine_handle<>::from_address(handle_).destroy();
}

void Cpp20Coroutine::Resume() {
  std::coroutine_handle<>::from_address(handle_).resume();
}

}  // namespace instar

#else

#include <cstdlib>

namespace instar {

bool HasCpp20Coroutines() { return false; }
Cpp20Coroutine::Cpp20Coroutine() : handle_(nullptr) { std::abort(); }
Cpp20Coroutine::~Cpp20Coroutine() = default;
void Cpp20Coroutine::Resume() {}

}  // namespace instar

#endif  // __cpp_impl_coroutine
