// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/scan/unused_stacks.h"

#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/linux/maps.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"

namespace instar {
namespace manager_internal {
namespace {

// Of x86-64, as in reference_scan.cc.
constexpr std::uintptr_t kPage = 4096;
// The record of a thread (struct pthread of glibc), which has the head of its
// robust mutexes and the place of its stack. It lies at the upper end of that.
constexpr std::uintptr_t kRecord = 4096;
// No stack is larger, nor lies at a lower address.
constexpr std::uintptr_t kLargest = std::uintptr_t{1} << 36;
constexpr std::uintptr_t kLowest = 0x10000;

// The red zone (x86-64 psABI, 3.2.2), and the registers, which the kernel has
// put there, as many as this processor has. What is not known is at most so
// much.
std::uintptr_t BelowStackPointer() {
  constexpr std::uintptr_t kRedZone = 128;
  constexpr std::uintptr_t kMostRegisters = 16 * 1024;
  constexpr unsigned long kAtMinsigstksz = 51;  // AT_MINSIGSTKSZ
  const std::uintptr_t registers = getauxval(kAtMinsigstksz);
  return kRedZone + (registers == 0 ? kMostRegisters : registers);
}

StackBounds StackOfFirstThread() {
  StackBounds bounds;
  VisitMappings([&](const Mapping& mapping) {
    if (mapping.path != "[stack]") return true;
    bounds = {mapping.low, mapping.high};
    return false;
  });
  return bounds;
}

}  // namespace

StackBounds StackKnownToLibc(pid_t tid, int memory) {
  void* head = nullptr;
  std::size_t length = 0;
  if (syscall(SYS_get_robust_list, tid, &head, &length) != 0 ||
      head == nullptr) {
    return {};
  }
  // Three words of the record: where its memory begins, how much it is, and how
  // much of that, at the beginning, is its guard.
  constexpr std::size_t kWords = 2 * kRecord / sizeof(std::uintptr_t);
  std::uintptr_t words[kWords];
  const auto at = reinterpret_cast<std::uintptr_t>(head);
  if (at < kRecord) return {};
  const ssize_t got =
      pread(memory, words, sizeof(words), static_cast<off_t>(at - kRecord));
  const std::size_t count =
      got <= 0 ? 0 : static_cast<std::size_t>(got) / sizeof(words[0]);
  StackBounds found;
  for (std::size_t i = 0; i + 2 < count; ++i) {
    const std::uintptr_t begin = words[i];
    const std::uintptr_t size = words[i + 1];
    const std::uintptr_t guard = words[i + 2];
    const std::uintptr_t end = begin + size;
    if (begin < kLowest || begin > at || begin % 16 != 0 || size < kPage ||
        size > kLargest || end <= at || end - at > kRecord ||
        guard % kPage != 0 || guard >= at - begin) {
      continue;
    }
    if (found.high != 0) return {};  // which of both is not known
    found = {begin + guard, end};
  }
  return found;
}

bool UnusedStacks::Note(const InterruptedThreads& threads, int memory,
                        std::chrono::steady_clock::time_point until) {
  count_ = 0;
  const std::uintptr_t below = BelowStackPointer();
  const StackBounds first = StackOfFirstThread();
  for (const InterruptedThreads::Thread& thread : threads) {
    if (std::chrono::steady_clock::now() > until) break;
    if (thread.state != InterruptedThreads::State::kHeld) continue;
    StackSnapshot at = thread.snapshot;
    if (at.is_foreign || at.switcher != nullptr) continue;
    at.bounds = thread.tid == getpid() && first.Contains(at.sp)
                    ? first
                    : StackKnownToLibc(thread.tid, memory);
    if (!at.bounds.Contains(at.sp) ||
        !WalkStack(at, [](const Frame&) { return true; }).complete()) {
      continue;
    }
    if (count_ == stacks_.size()) return false;
    const std::uintptr_t used =
        std::max(at.bounds.low, at.sp - std::min(below, at.sp));
    stacks_[count_++] = {thread.tid, at.bounds, {at.bounds.low, used}};
  }
  return true;
}

}  // namespace manager_internal
}  // namespace instar
