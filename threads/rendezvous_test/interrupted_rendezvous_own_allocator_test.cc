// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that has an allocator of its own, with one lock, which it owns
// while it makes system calls: no thread is held there, so that whoever holds
// threads may allocate.

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <new>
#include <optional>
#include <thread>

#include "base/testing/child_process.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"

namespace {

// In the order in which they ask: one that takes it again at once would keep
// the others away.
class TicketLock {
 public:
  void lock() {
    const unsigned mine = next_.fetch_add(1, std::memory_order_relaxed);
    while (serving_.load(std::memory_order_acquire) != mine) sched_yield();
  }
  void unlock() { serving_.fetch_add(1, std::memory_order_release); }

 private:
  std::atomic<unsigned> next_{0};
  std::atomic<unsigned> serving_{0};
};

TicketLock g_allocator_lock;
thread_local bool t_is_slow = false;
std::atomic<long> g_waits{0};

void WaitIfSlow() {
  if (!t_is_slow) return;
  g_waits.fetch_add(1, std::memory_order_relaxed);
  const timespec pause = {0, 200'000};
  nanosleep(&pause, nullptr);
}

__attribute__((noinline)) void* Get(std::size_t size, std::size_t alignment) {
  std::lock_guard<TicketLock> lock(g_allocator_lock);
  WaitIfSlow();
  void* const place =
      aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (place == nullptr) abort();
  return place;
}

__attribute__((noinline)) void Put(void* place) {
  std::lock_guard<TicketLock> lock(g_allocator_lock);
  WaitIfSlow();
  free(place);
}

}  // namespace

// All forms. Each ends in a jump.
void* operator new(std::size_t size) { return Get(size, 16); }
void* operator new[](std::size_t size) { return Get(size, 16); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Get(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return Get(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return Get(size, 16);
}
void operator delete(void* place) noexcept { Put(place); }
void operator delete[](void* place) noexcept { Put(place); }
void operator delete(void* place, std::size_t) noexcept { Put(place); }
void operator delete[](void* place, std::size_t) noexcept { Put(place); }
void operator delete(void* place, std::align_val_t) noexcept { Put(place); }
void operator delete[](void* place, std::align_val_t) noexcept { Put(place); }
void operator delete(void* place, std::size_t, std::align_val_t) noexcept {
  Put(place);
}
void operator delete[](void* place, std::size_t, std::align_val_t) noexcept {
  Put(place);
}
void operator delete(void* place, const std::nothrow_t&) noexcept {
  Put(place);
}

namespace instar {
namespace {

struct Plain {
  char bytes[64];
};
struct alignas(64) Aligned {
  ~Aligned() { bytes[0] = 0; }
  char bytes[64];
};

void Allocate() {
  delete new Plain;
  delete new Aligned;
  delete[] new Aligned[2];
  delete new (std::nothrow) Plain;
  ::operator delete(::operator new(64));
}

int HoldAndAllocate() {
  RendezvousOptions options;
  options.limit = std::chrono::seconds(10);
  options.grace = std::chrono::microseconds(20);
  // It reads symbols, for which it allocates much: not beside the slow thread,
  // which leaves the lock for a moment only.
  if (!Rendezvous::HoldAll(options).ok()) return 2;
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("allocates", [&stop] {
    t_is_slow = true;
    for (unsigned i = 1; !stop; ++i) {
      Allocate();
      if (i % 4 == 0) UpdatePoint();
    }
    t_is_slow = false;
  });
  for (int held = 0; held < 200 || g_waits < 1000;) {
    const auto rendezvous = Rendezvous::HoldAll(options);
    if (!rendezvous.ok()) continue;
    Allocate();
    ++held;
  }
  stop = true;
  thread.Join();
  return 0;
}

TEST(InterruptedRendezvousOwnAllocatorTest, WhoHoldsMayAllocate) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(HoldAndAllocate());
  const std::optional<int> status = AwaitChild(child, std::chrono::seconds(45));
  ASSERT_TRUE(status.has_value()) << "it stands still";
  EXPECT_EQ(*status, 0);
}

}  // namespace
}  // namespace instar
