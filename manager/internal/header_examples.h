// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_MANAGER_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_MANAGER_INTERNAL_HEADER_EXAMPLES_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "threads/controlled_thread.h"
#include "updates/update_plan.h"

namespace instar {
namespace header_examples {

void DoCommand();
void NewDoCommand();

namespace manager_h {
int Fail(const absl::Status& status);
void DisplayMain();
void SocketMain(int port);
extern const int port;
extern Manager* manager;
}  // namespace manager_h

namespace program_health_h {
struct Order;
bool TryToAnswer(const Order& order);
}  // namespace program_health_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_HEADER_EXAMPLES_H_
