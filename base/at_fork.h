// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What this library does around fork(), in one order. Internal.
//
// The child of fork() has the calling thread alone, and the memory of all: a
// lock that another thread owned stays taken, and what it guards half changed.
// So locks that a child needs are taken before the fork and released after it
// in both processes. Handlers of pthread_atfork() run in the order in which
// they were registered, which no one chose; so only this registers any.
//
//   [[gnu::constructor]] static void RegisterForkHandlers() {
//     SetForkHandlers(ForkOrder::kClasses,
//                     {[] { lock.lock(); }, [] { lock.unlock(); },
//                      [] { lock.unlock(); }});
//   }
//
// The order of this library's locks, the first taken first: of two locks that
// one thread may own at the same time, the one whose place here is earlier is
// taken first everywhere. The allocator's come after all of them, as glibc
// takes those last. What is "of the child alone" is not waited for by fork():
// the child makes it anew. Locks that are in no order, since fork() does not
// wait for them either, are those of base/fork_mutex.h.
//
// Handlers run on the thread that forks, one fork() at a time, with the signals
// of the program and of those who stop threads blocked. A thread that
// owns one of the locks must not fork, directly or through code of the program.

#ifndef INSTAR_BASE_AT_FORK_H_
#define INSTAR_BASE_AT_FORK_H_

#include <atomic>
#include <cstdint>

namespace instar {
namespace base_internal {
// Changed while the child has one thread.
extern std::atomic<std::uint32_t> fork_generation;
}  // namespace base_internal

// How many fork()s led to this process. What a thread noted with another value
// was noted by the process that this one is a copy of. A child has the new one
// before its first handler runs.
inline std::uint32_t ForkGeneration() {
  return base_internal::fork_generation.load(std::memory_order_relaxed);
}

enum class ForkOrder {
  kThreads,      // threads/: registry, record, request and their worker
  kRendezvous,   // threads/: the turn; of the child alone
  kContinulets,  // continuation/: the threads that have continulets
  kForeign,      // continuation/: visits of foreign stacks; of the child alone
  kEntries,      // code/: interceptions, which take the next
  kCode,         // code/: CodeLock
  kSlots,        // code/: slots
  kImages,       // code/: what images are copies of
  kClasses,      // heap/: registry; of each class: arenas, shards, slabs
  kConversions,  // heap/: those that wait for conversions
  kShadows,      // heap/: shadow data
  kStacks,       // continuation/: the pool of stacks
  kInterrupted,  // stack/: threads that are held; of the child alone
  kDescriptors,  // manager/: what is closed in a child
};
inline constexpr int kForkOrders = 14;

// Any may be null. `prepare` is called in the order above, the others in the
// opposite one.
struct ForkHandlers {
  void (*prepare)();
  void (*parent)();
  void (*child)();
};

// Once for each place, before main() or under no lock. The first call registers
// with pthread_atfork(); fatal if that fails, for want of memory.
void SetForkHandlers(ForkOrder place, const ForkHandlers& handlers);

}  // namespace instar

#endif  // INSTAR_BASE_AT_FORK_H_
