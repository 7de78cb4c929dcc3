// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The second update of the site manager as the paper writes it (PyMoult
// (HotSWUP'13), section 3, figure 6). examples/show_ratings.cc is the same as a
// plan.

#include "absl/status/status.h"
#include "examples/show_ratings_main.h"
#include "examples/site_manager.h"
#include "updates/thread_updates.h"
#include "updates/update_module.h"

namespace site_manager {
namespace {

absl::Status ShowRatings(instar::ThreadUpdates& threads) {
  threads.Reboot("site_manager", &NewSiteManagerMain,
                 /*main_when_undone=*/&SiteManagerMain);
  return absl::OkStatus();
}

INSTAR_THREAD_UPDATES_MODULE("show_ratings", ShowRatings);

}  // namespace
}  // namespace site_manager
