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
// takes those last.
//
// Handlers run on the thread that forks, one fork() at a time, with the signals
// of the program and of those who stop threads blocked. A thread that
// owns one of the locks must not fork, directly or through code of the program.

#ifndef INSTAR_BASE_AT_FORK_H_
#define INSTAR_BASE_AT_FORK_H_

namespace instar {

enum class ForkOrder {
  kThreads,      // threads/: registry, record, request, attendant
  kContinulets,  // continuation/: the threads that have continulets
  kEntries,      // code/: interceptions, which take the next
  kCode,         // code/: CodeLock
  kClasses,      // heap/: registry; of each class: arenas, shards, slabs
  kConversions,  // heap/: those that wait for conversions
  kStacks,       // continuation/: the pool of stacks
};
inline constexpr int kForkOrders = 7;

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
