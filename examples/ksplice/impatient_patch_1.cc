// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Patch 1, without letting calls wait: it looks again and again whether no
// thread is inside, and gives up when its time is up.

#include "absl/status/status.h"
#include "examples/ksplice/channel.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace ksplice {
namespace {

Packet NewSeal(std::uint64_t value) { return {~value, 0}; }

std::optional<std::uint64_t> NewOpen(const Packet& packet) {
  return ~packet.body;
}

void NewDeliver(std::uint64_t value) {
  const Packet packet = Seal(value);
  Travel();
  Count(1, Open(packet) == value);
}

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Seal, &NewSeal);
  plan.Redefine(&Open, &NewOpen);
  plan.Redefine(&Deliver, &NewDeliver);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("impatient_patch_1", Describe);
}  // namespace
}  // namespace ksplice
