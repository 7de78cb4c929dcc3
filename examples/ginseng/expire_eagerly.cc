// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// All entries are converted at one moment, while all threads wait.
//
//   tools/bazelw run //examples/ginseng:expire_eagerly

#include "absl/status/status.h"
#include "examples/ginseng/expiry.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace ginseng {
namespace {

absl::Status ExpireEagerly(instar::UpdatePlan& plan) {
  plan.ConvertEagerly<Entry, CountedEntry>();
  RedefineStore(plan);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("expire_eagerly", ExpireEagerly);

}  // namespace
}  // namespace ginseng
