// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

void NextBye() { Say("see you"); }

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Bye, &NextBye);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("next", Describe);
}  // namespace
}  // namespace cases
