// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A thread that owns a lock of heap/ is not held: whoever holds threads may
// make and destroy objects.

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"

namespace {

// While it is set, mprotect() waits on this pipe, as one that takes long does.
std::atomic<bool> mprotect_waits{false};
std::atomic<bool> is_in_mprotect{false};
int ends[2];

}  // namespace

// Instead of the C library's: heap/ calls it with the lock of all slabs.
extern "C" int mprotect(void* begin, std::size_t size,
                        int protection) noexcept {
  if (mprotect_waits.exchange(false)) {
    is_in_mprotect = true;
    char byte;
    while (read(ends[0], &byte, 1) < 0) {
    }
    is_in_mprotect = false;
  }
  return static_cast<int>(syscall(SYS_mprotect, begin, size, protection));
}

namespace instar {
namespace {

class Product : public Updatable<Product> {
  char bytes[4096];
};
class Other : public Updatable<Other> {};

TEST(HeapLockTest, AThreadThatMapsASlabIsNotHeld) {
  ASSERT_EQ(pipe(ends), 0);
  ControlledThread maker = StartPassiveThread("maker", [] {
    mprotect_waits = true;
    while (mprotect_waits) new Product;  // until a slab is mapped
  });
  while (!is_in_mprotect) std::this_thread::yield();
  RendezvousOptions options;
  options.limit = std::chrono::milliseconds(300);
  {
    const auto held = Rendezvous::HoldAll(options);
    EXPECT_EQ(held.status().code(), absl::StatusCode::kDeadlineExceeded)
        << "it was held with the lock of all slabs";
    // Here `delete new Other` would wait for ever otherwise.
    EXPECT_TRUE(is_in_mprotect);
  }
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  options.limit = std::chrono::seconds(60);
  const auto held = Rendezvous::HoldAll(options);
  ASSERT_TRUE(held.ok()) << held.status();
  delete new Other;  // needs a slab of its own
}

}  // namespace
}  // namespace instar
