// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

void NeverBye() { Say("never"); }

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Bye, &NeverBye);
  plan.When([] {
    return instar::Attempt::Failed(
        absl::FailedPreconditionError("the program is too old for it"));
  });
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("never", Describe);
}  // namespace
}  // namespace cases
