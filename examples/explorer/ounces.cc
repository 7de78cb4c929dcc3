// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/explorer/ounces.h"

#include <iostream>

#include "examples/explorer/post.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/mechanisms/redefine.h"

namespace post {
namespace {

int OuncesOf(int grams) { return grams / 28; }

int PostageOfOunces(int weight) { return 40 + 5 * weight; }

int WeighOunces(int parcel) { return OuncesOf(280 * parcel); }

void SendOunces(int parcel) {
  const int weight = OuncesOf(Weigh(parcel));
  instar::UpdatePoint();
  std::cout << "parcel " << parcel << ": " << Postage(weight) << " cents"
            << std::endl;
}

}  // namespace

absl::Status Separately(instar::ThreadUpdates& updates) {
  updates.Add("clerk", instar::Redefine(&Postage, &PostageOfOunces));
  updates.Add("clerk", instar::Redefine(&Send, &SendOunces));
  return absl::OkStatus();
}

absl::Status SeparatelyBetweenParcels(instar::ThreadUpdates& updates) {
  instar::UpdateOptions where;
  where.point = "between parcels";
  updates.Add("clerk", instar::Redefine(&Postage, &PostageOfOunces), {}, where);
  updates.Add("clerk", instar::Redefine(&Send, &SendOunces), {}, where);
  return absl::OkStatus();
}

absl::Status AtOneMoment(instar::UpdatePlan& plan) {
  plan.Redefine(&Weigh, &WeighOunces);
  plan.Redefine(&Postage, &PostageOfOunces);
  return absl::OkStatus();
}

absl::Status BetweenParcels(instar::UpdatePlan& plan) {
  plan.AtUpdatePoint("between parcels");
  return AtOneMoment(plan);
}

}  // namespace post
