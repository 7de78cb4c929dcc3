// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What compilers call for each function, or each basic block, of code that is
// built so: a trace function that has nothing to do.

#include <atomic>

namespace {

std::atomic<int> g_wanted{0};

// Never called: the flag is never set.
__attribute__((noinline)) void Slow() { asm volatile(""); }

inline void Test() {
  if (__builtin_expect(g_wanted.load(std::memory_order_relaxed) != 0, 0)) {
    Slow();
  }
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void __cyg_profile_func_enter(void*,
                                                                     void*) {
  Test();
}
__attribute__((visibility("default"))) void __cyg_profile_func_exit(void*,
                                                                    void*) {
  Test();
}
__attribute__((visibility("default"))) void __sanitizer_cov_trace_pc() {
  Test();
}
}
