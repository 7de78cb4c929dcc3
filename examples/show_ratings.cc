// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The second update of the site manager (PyMoult (HotSWUP'13), section 3,
// figure 6): the display thread is rebooted into a function that shows the
// marks. It uses the classes of the first update, and so requires it.
//
//   tools/bazelw run //examples:show_ratings
//
// Undone, the thread displays the sites as in the beginning.

#include "absl/status/status.h"
#include "examples/show_ratings_main.h"
#include "examples/site_manager.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace site_manager {
namespace {

absl::Status ShowRatings(instar::UpdatePlan& plan) {
  plan.Reboot("site_manager", &NewSiteManagerMain,
              /*main_when_undone=*/&SiteManagerMain);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("show_ratings", ShowRatings);

}  // namespace
}  // namespace site_manager
