// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_UPDATES_QUIESCENCE_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_UPDATES_QUIESCENCE_INTERNAL_HEADER_EXAMPLES_H_

#include <chrono>
#include <vector>

#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "code/function_entry.h"
#include "code/symbols/function.h"
#include "stack/function_set.h"
#include "updates/quiescence/internal/look.h"
#include "updates/quiescence/internal/obstacles.h"

namespace instar {
namespace header_examples {

using updates_internal::IsQuiescent;
using updates_internal::Obstacles;

extern const Function f, g;
extern const WatchedFunctions watched;

namespace forced_quiescence_h {
extern const std::chrono::nanoseconds limit;
}  // namespace forced_quiescence_h

namespace when_quiescent_h {
extern Redirection redirection;
}  // namespace when_quiescent_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_INTERNAL_HEADER_EXAMPLES_H_
