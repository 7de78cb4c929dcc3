// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/cases/base.h"

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {

void BaseGreet(const std::string& whom) { Say("good day " + whom); }

namespace {

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Greet, &BaseGreet);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("base", Describe);
}  // namespace
}  // namespace cases
