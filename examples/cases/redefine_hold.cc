// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

void NewHold() {
  Say("new: holds");
  Say("new: " + NextLine().value_or("end"));
}

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Hold, &NewHold);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("redefine_hold", Describe);
}  // namespace
}  // namespace cases
