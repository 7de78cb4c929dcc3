// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The thread is rebooted into a loop of the module, which has update points,
// too: it is rebooted out of that when the update is undone.

#include "absl/status/status.h"
#include "tools/loop_update_points/module_test/counter.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace counter {
namespace {

void CountTwiceForEver() {
  begun = 2;
  while (true) count += 2;
}

absl::Status CountTwice(instar::UpdatePlan& plan) {
  plan.Reboot("counter", &CountTwiceForEver, &CountForEver);
  return absl::OkStatus();
}

}  // namespace
}  // namespace counter

INSTAR_UPDATE_MODULE("count_twice", counter::CountTwice);
