// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Each entry is converted at its next use, or before that in the background.
//
//   tools/bazelw run //examples/ginseng:expire_progressively

#include "absl/status/status.h"
#include "examples/ginseng/expiry.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace ginseng {
namespace {

absl::Status ExpireProgressively(instar::UpdatePlan& plan) {
  plan.ConvertProgressively<Entry, CountedEntry>();
  RedefineStore(plan);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("expire_progressively", ExpireProgressively);

}  // namespace
}  // namespace ginseng
