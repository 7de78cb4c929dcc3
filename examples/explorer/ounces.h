// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Updates of the post office: weights are in ounces. Two of them are wrong.

#ifndef INSTAR_EXAMPLES_EXPLORER_OUNCES_H_
#define INSTAR_EXAMPLES_EXPLORER_OUNCES_H_

#include "absl/status/status.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace post {

// The callee Postage(), and its caller, which computes ounces: each as soon as
// it is not active.
absl::Status Separately(instar::ThreadUpdates& updates);
// Both, between parcels.
absl::Status SeparatelyBetweenParcels(instar::ThreadUpdates& updates);

// Weigh() and Postage(), at one moment.
absl::Status AtOneMoment(instar::UpdatePlan& plan);
// Both, between parcels.
absl::Status BetweenParcels(instar::UpdatePlan& plan);

}  // namespace post

#endif  // INSTAR_EXAMPLES_EXPLORER_OUNCES_H_
