// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_CONTINUATION_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_CONTINUATION_INTERNAL_HEADER_EXAMPLES_H_

#include <ucontext.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace instar {
namespace header_examples {

namespace foreign_stacks_h {
struct Fiber {
  bool is_running;
  std::uintptr_t low;
  std::uintptr_t high;
  ucontext_t context;
  std::string name;
};
struct Scheduler {
  std::mutex mutex;
  std::vector<Fiber> fibers;
};
extern Scheduler scheduler;
}  // namespace foreign_stacks_h

namespace generator_h {
void Use(int number);
}  // namespace generator_h

namespace stack_memory_h {
void Run(std::uintptr_t low, std::uintptr_t high);
}  // namespace stack_memory_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_HEADER_EXAMPLES_H_
