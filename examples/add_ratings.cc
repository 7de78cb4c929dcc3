// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The first update of the site manager (PyMoult (HotSWUP'13), section 3, figure
// 5): products and sites have marks, and there is a command to give them. All
// of it takes effect at one moment.
//
//   tools/bazelw run //examples:add_ratings
//
// examples/add_ratings_test.cc tests it without a manager.
//
// Undone, objects are of their old classes again. Their marks are gone then:
// the old classes have no place for them, so that ratings which are added again
// begin without votes.

#include "absl/status/status.h"
#include "examples/ratings.h"
#include "examples/site_manager.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace site_manager {

absl::Status AddRatings(instar::UpdatePlan& plan) {
  plan.ConvertLazily<Product, ProductV2>();
  plan.ConvertEagerly<Site, SiteV2>();
  plan.Redefine(DoCommand, &NewDoCommand);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("ratings", AddRatings);

}  // namespace site_manager
