// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A new version that brings a named update point, for the update at_point.

#include <string>

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "threads/update_point.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

void GreetWithPoint(const std::string& whom) {
  Say("hello again " + whom);
  instar::UpdatePoint("after a greeting");
}

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Greet, &GreetWithPoint);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("add_point", Describe);
}  // namespace
}  // namespace cases
