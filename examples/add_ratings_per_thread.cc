// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The first update of the site manager as the paper writes it (PyMoult
// (HotSWUP'13), section 3, figure 5): each thread starts its own update
// function at its own time. examples/add_ratings.cc is the same as a plan.
//
// The paper leaves open what happens if the socket thread takes a rating before
// the sites can keep one. Then() closes that: commands change last. When the
// update is undone they change first.

#include "absl/status/status.h"
#include "examples/ratings.h"
#include "examples/site_manager.h"
#include "updates/change.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/redefine.h"
#include "updates/thread_updates.h"
#include "updates/update_module.h"

namespace site_manager {
namespace {

absl::Status AddRatings(instar::ThreadUpdates& threads) {
  // Both threads wait in blocking calls most of the time.
  instar::UpdateOptions at_once;
  at_once.interrupt_blocking_calls = true;

  threads.Start(instar::ConvertLazily<Product, ProductV2>());
  threads.Add("site_manager", instar::ConvertEagerly<Site, SiteV2>(), {},
              at_once);
  threads.Then();
  threads.Add("socket", instar::Redefine(DoCommand, &NewDoCommand), {},
              at_once);
  return absl::OkStatus();
}

INSTAR_THREAD_UPDATES_MODULE("ratings", AddRatings);

}  // namespace
}  // namespace site_manager
