// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

struct LazyItemV2 : LazyItem {
  explicit LazyItemV2(LazyItem&& old) noexcept : LazyItem(std::move(old)) {}
  int Version() const override { return 2; }
};

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.ConvertLazily<LazyItem, LazyItemV2>();
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("lazy", Describe);
}  // namespace
}  // namespace cases
