// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module_test/ratings.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "manager/module_test/shop.h"
#include "updates/update_module.h"

#ifndef BEST_MARK
#define BEST_MARK 5
#endif

namespace shop {
namespace {

int made = 0;

struct Presence {
  Presence() { Log().push_back(absl::StrCat("ratings in ", BEST_MARK)); }
  ~Presence() { Log().push_back(absl::StrCat("ratings out ", BEST_MARK)); }
} presence;

}  // namespace

Rating::~Rating() = default;
int Rating::mark() const { return BEST_MARK; }
int Rating::made() { return shop::made; }
void Rating::Make() { ++shop::made; }

absl::Status AddRatings(instar::UpdatePlan&) {
  Rating::Make();
  Log().push_back(
      absl::StrCat("ratings plan ", BEST_MARK, " made ", Rating::made()));
  return absl::OkStatus();
}

}  // namespace shop

INSTAR_UPDATE_MODULE("ratings", shop::AddRatings);
