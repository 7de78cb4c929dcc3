// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_STACK_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_STACK_INTERNAL_HEADER_EXAMPLES_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "code/symbols/function.h"
#include "continuation/continulet.h"
#include "tools/header_examples/anything.h"

namespace instar {
namespace header_examples {

Anything NotYet(const std::string& reason);
void DoCommand();

extern const FunctionSet set;
extern const StackSnapshot snapshot;
extern const PausedContext paused;
extern const pid_t tid;
bool visit(const Frame& frame);

namespace activity_h {
extern const std::uintptr_t start, end, cold_start, cold_end;
}  // namespace activity_h

namespace exposed_values_h {
int Listen();
}  // namespace exposed_values_h

namespace interrupted_threads_h {
extern const std::vector<pid_t> tids;
extern const pid_t another;
}  // namespace interrupted_threads_h

namespace stack_snapshot_h {
extern const Continulet<void()> continulet;
extern const std::uintptr_t return_address, sp, fp;
extern const StackBounds bounds;
}  // namespace stack_snapshot_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_STACK_INTERNAL_HEADER_EXAMPLES_H_
