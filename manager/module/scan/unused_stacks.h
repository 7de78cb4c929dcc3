// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Of the stacks of threads that are held, the parts below the stack pointer, in
// which nothing lies that anybody uses: what functions have left there that
// have returned. Internal to manager/module.
//
// A part is left out only where all of this is certain:
//   - where the thread's own stack lies: libc has it in the thread's record, in
//     which the kernel is told of an address (get_robust_list(2)); of the first
//     thread, the kernel calls it [stack];
//   - that the thread runs on it, and on nothing that lies within it, such as a
//     fiber's or a signal's stack in an array: it runs on no continulet and no
//     stack that was declared (continuation/foreign_stacks.h), and a walk from
//     the stack pointer reaches the thread's start and only ever goes up
//     (stack/stack_walker.h).
// Below the stack pointer are the red zone and, as the kernel puts them there,
// the registers of the thread.
//
// Threads: one, which holds the others. Allocates only in Reserve().

#ifndef INSTAR_MANAGER_MODULE_SCAN_UNUSED_STACKS_H_
#define INSTAR_MANAGER_MODULE_SCAN_UNUSED_STACKS_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/linux/stack_bounds.h"
#include "manager/module/near_place.h"
#include "stack/interrupted_threads.h"

namespace instar {
namespace manager_internal {

class UnusedStacks {
 public:
  struct Stack {
    pid_t tid;
    StackBounds bounds;
    AddressRange unused;
  };

  // Room for so many threads.
  void Reserve(std::size_t threads) { stacks_.resize(threads); }

  // Those of threads that are held, until it is so late; of the others, all
  // counts as used. `memory`: /proc/self/mem. False if there is no room for so
  // many.
  bool Note(const InterruptedThreads& threads, int memory,
            std::chrono::steady_clock::time_point until);

  const Stack* begin() const { return stacks_.data(); }
  const Stack* end() const { return stacks_.data() + count_; }

 private:
  std::vector<Stack> stacks_;
  std::size_t count_ = 0;
};

// Where the stack of a thread of this process lies, as libc knows it, without
// its guard; empty if that cannot be told. Not of the first thread. Allocates
// nothing.
StackBounds StackKnownToLibc(pid_t tid, int memory);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_SCAN_UNUSED_STACKS_H_
