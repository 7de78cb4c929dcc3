// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

struct ItemV2 : Item {
  explicit ItemV2(Item&& old) noexcept : Item(std::move(old)) {}
  int Version() const override { return 2; }
};

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.ConvertEagerly<Item, ItemV2>();
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("eager", Describe);
}  // namespace
}  // namespace cases
