// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_TOOLS_EXPLORER_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_TOOLS_EXPLORER_INTERNAL_HEADER_EXAMPLES_H_

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "tools/explorer/explorer.h"
#include "updates/update_plan.h"

namespace instar {
namespace header_examples {

namespace explorer_h {
void Sell(int item);
absl::Status InEuros(UpdatePlan& plan);
}  // namespace explorer_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_INTERNAL_HEADER_EXAMPLES_H_
