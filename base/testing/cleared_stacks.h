// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Nothing is left on stacks of what functions had there that have returned: for
// tests of what looks through all memory for addresses.

#ifndef INSTAR_BASE_TESTING_CLEARED_STACKS_H_
#define INSTAR_BASE_TESTING_CLEARED_STACKS_H_

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace instar {

// Below the caller's frame, so many bytes.
template <std::size_t kSize = 1 << 16>
__attribute__((noinline)) void ClearStack() {
  volatile char room[kSize];
  for (volatile char& byte : room) byte = 0;
}

// And on the stacks of threads that have ended, which others get.
template <std::size_t kSize = 1 << 16>
void ClearEndedStacks() {
  constexpr int kMost = 4;
  std::atomic<int> started{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kMost; ++i) {
    threads.emplace_back([&started] {
      ++started;
      while (started < kMost) std::this_thread::yield();
      ClearStack<kSize>();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_CLEARED_STACKS_H_
