// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a patch must not be: Seal() alone. It is quiescent soon, and what it
// seals is opened by another version.

#include "absl/status/status.h"
#include "examples/ksplice/channel.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace ksplice {
namespace {

Packet NewSeal(std::uint64_t value) { return {~value, 0}; }

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Seal, &NewSeal);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("half_patch_1", Describe);
}  // namespace
}  // namespace ksplice
