// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linker_gate.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

namespace instar {
namespace {

// How many threads are inside, twice, and whether it is closed.
constexpr std::uint32_t kClosed = 1;
constexpr std::uint32_t kOne = 2;
std::atomic<std::uint32_t> g_state{0};

constexpr long kLongestWait = 1000;  // milliseconds

// How often this thread is inside, and whether it forks.
thread_local std::uint32_t t_depth = 0;
thread_local bool t_forks = false;

long MillisecondsNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

void Wait(std::uint32_t while_it_is, const timespec* limit) {
  syscall(SYS_futex, &g_state, FUTEX_WAIT_PRIVATE, while_it_is, limit, nullptr,
          0);
}

void WakeAll() {
  syscall(SYS_futex, &g_state, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr,
          0);
}

}  // namespace

LinkerGate::LinkerGate() {
  const int saved_errno = errno;
  std::uint32_t state = g_state.load(std::memory_order_relaxed);
  while (true) {
    if ((state & kClosed) != 0 && t_depth == 0 && !t_forks) {
      Wait(state, nullptr);
      state = g_state.load(std::memory_order_relaxed);
    } else if (g_state.compare_exchange_weak(state, state + kOne,
                                             std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
      break;
    }
  }
  ++t_depth;
  errno = saved_errno;
}

LinkerGate::~LinkerGate() {
  const int saved_errno = errno;
  --t_depth;
  if ((g_state.fetch_sub(kOne, std::memory_order_release) & kClosed) != 0) {
    WakeAll();
  }
  errno = saved_errno;
}

namespace base_internal {

void CloseLinkerGate() {
  t_forks = true;
  const std::uint32_t mine = kClosed + t_depth * kOne;
  const long give_up = MillisecondsNow() + kLongestWait;
  g_state.fetch_or(kClosed, std::memory_order_relaxed);
  std::uint32_t state = 0;
  // Acquire, partner: the release of who leaves.
  while ((state = g_state.load(std::memory_order_acquire)) != mine) {
    const long left = give_up - MillisecondsNow();
    if (left <= 0) return;
    const timespec limit = {left / 1000, left % 1000 * 1'000'000};
    Wait(state, &limit);
  }
}

void OpenLinkerGate() {
  t_forks = false;
  g_state.fetch_and(~kClosed, std::memory_order_release);
  WakeAll();
}

void OpenLinkerGateInChild() {
  t_forks = false;
  g_state.store(t_depth * kOne, std::memory_order_release);
}

}  // namespace base_internal
}  // namespace instar
