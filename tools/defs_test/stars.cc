// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "tools/defs_test/ratings.h"
#include "updates/update_module.h"

namespace shop {
namespace {

class StarredProduct : public RatedProduct {
 public:
  using RatedProduct::RatedProduct;
  int mark() const override { return RatedProduct::mark() + 100; }
};

}  // namespace

extern "C" int StarsMark() {
  const StarredProduct product(1);
  const RatedProduct& rated = product;
  return dynamic_cast<const StarredProduct*>(&rated)->mark();
}

// Says nothing to be done: this scenario only loads modules.
absl::Status AddStars(instar::UpdatePlan&) { return absl::OkStatus(); }

}  // namespace shop

INSTAR_UPDATE_MODULE("stars", shop::AddStars);
