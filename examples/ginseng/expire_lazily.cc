// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Each entry is converted at its next use.
//
//   tools/bazelw run //examples/ginseng:expire_lazily

#include "absl/status/status.h"
#include "examples/ginseng/expiry.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace ginseng {
namespace {

absl::Status ExpireLazily(instar::UpdatePlan& plan) {
  plan.ConvertLazily<Entry, CountedEntry>();
  RedefineStore(plan);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("expire_lazily", ExpireLazily);

}  // namespace
}  // namespace ginseng
