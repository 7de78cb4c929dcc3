// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// switch:             into a body and back
// create_run_finish:  make a continulet, run it to its end, destroy it, with a
//                     pooled stack; its limit is one switch in and back
// switch_1000:        in and back, to 1,000 continulets in turn (caches matter)

#include <ucontext.h>

#include <boost/context/detail/fcontext.hpp>
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <boost/coroutine2/coroutine.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "continuation/continulet.h"
#include "continuation/internal/cpp20_coroutine.h"
#include "continuation/stack_memory.h"

namespace instar {
namespace {

namespace context = boost::context;
namespace coroutines2 = boost::coroutines2;

void SwitchInstar(benchmark::State& state) {
  Continulet<void()> c("switching", [](auto& self) {
    for (;;) self.Switch();
  });
  for (auto _ : state) c.Switch();
}
BENCHMARK(SwitchInstar)->Name("switch/instar");

// Boost's bare assembly: no exception state, no owner, no values.
class Fcontext {
 public:
  Fcontext()
      : stack_(*StackMemory::Take()),
        body_(context::detail::make_fcontext(
            reinterpret_cast<void*>(stack_.high()),
            stack_.high() - stack_.low(), [](context::detail::transfer_t t) {
              for (;;) t = context::detail::jump_fcontext(t.fctx, nullptr);
            })) {}
  void Switch() { body_ = context::detail::jump_fcontext(body_, nullptr).fctx; }

 private:
  StackMemory stack_;
  context::detail::fcontext_t body_;
};

void SwitchFcontext(benchmark::State& state) {
  Fcontext body;
  for (auto _ : state) body.Switch();
}
BENCHMARK(SwitchFcontext)->Name("switch/limit");

void SwitchFiber(benchmark::State& state) {
  context::fiber fiber([](context::fiber&& main) {
    for (;;) main = std::move(main).resume();
    return std::move(main);
  });
  for (auto _ : state) fiber = std::move(fiber).resume();
}
BENCHMARK(SwitchFiber)->Name("switch/boost_fiber");

void SwitchCoroutine2(benchmark::State& state) {
  coroutines2::coroutine<void>::pull_type c(
      [](coroutines2::coroutine<void>::push_type& yield) {
        for (;;) yield();
      });
  for (auto _ : state) c();
}
BENCHMARK(SwitchCoroutine2)->Name("switch/boost_coroutine2");

ucontext_t ucontext_main;
ucontext_t ucontext_body;

void SwitchUcontext(benchmark::State& state) {
  StackMemory stack = *StackMemory::Take();
  getcontext(&ucontext_body);
  ucontext_body.uc_stack.ss_sp = reinterpret_cast<void*>(stack.low());
  ucontext_body.uc_stack.ss_size = stack.high() - stack.low();
  ucontext_body.uc_link = nullptr;
  makecontext(
      &ucontext_body,
      [] {
        for (;;) swapcontext(&ucontext_body, &ucontext_main);
      },
      0);
  for (auto _ : state) swapcontext(&ucontext_main, &ucontext_body);
}
BENCHMARK(SwitchUcontext)->Name("switch/swapcontext");

void SwitchCpp20(benchmark::State& state) {
  if (!HasCpp20Coroutines()) {
    state.SkipWithError("this compiler has no C++20 coroutines");
    return;
  }
  Cpp20Coroutine coroutine;
  for (auto _ : state) coroutine.Resume();
}
BENCHMARK(SwitchCpp20)->Name("switch/cpp20_coroutine");

void CreateInstar(benchmark::State& state) {
  for (auto _ : state) {
    Continulet<void()> c("short", [](auto&) {});
    c.Switch();
  }
}
BENCHMARK(CreateInstar)->Name("create_run_finish/instar");
BENCHMARK(SwitchFcontext)->Name("create_run_finish/limit");

template <typename Stack>
void CreateFiber(benchmark::State& state) {
  Stack stack(kDefaultStackSize);
  for (auto _ : state) {
    context::fiber fiber(std::allocator_arg, stack,
                         [](context::fiber&& main) { return std::move(main); });
    fiber = std::move(fiber).resume();
  }
}
BENCHMARK(CreateFiber<context::pooled_fixedsize_stack>)
    ->Name("create_run_finish/boost_fiber_pooled");
BENCHMARK(CreateFiber<context::protected_fixedsize_stack>)
    ->Name("create_run_finish/boost_fiber_mapped");

constexpr std::size_t kMany = 1000;

void SwitchManyInstar(benchmark::State& state) {
  std::vector<Continulet<void()>> all;
  for (std::size_t i = 0; i < kMany; ++i) {
    all.emplace_back("one of many", [](auto& self) {
      for (;;) self.Switch();
    });
    all.back().Switch();
  }
  std::size_t next = 0;
  for (auto _ : state) {
    all[next].Switch();
    if (++next == kMany) next = 0;
  }
}
BENCHMARK(SwitchManyInstar)->Name("switch_1000/instar");

void SwitchManyFcontext(benchmark::State& state) {
  std::vector<Fcontext> all(kMany);
  for (Fcontext& body : all) body.Switch();
  std::size_t next = 0;
  for (auto _ : state) {
    all[next].Switch();
    if (++next == kMany) next = 0;
  }
}
BENCHMARK(SwitchManyFcontext)->Name("switch_1000/limit");

}  // namespace
}  // namespace instar

BENCHMARK_MAIN();
