// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "examples/cases/base.h"
#include "examples/cases/program.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

void DependentGreet(const std::string& whom) { BaseGreet("dear " + whom); }

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Greet, &DependentGreet);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("dependent", Describe);
}  // namespace
}  // namespace cases
