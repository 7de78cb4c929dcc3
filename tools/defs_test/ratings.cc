// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/defs_test/ratings.h"

#include "absl/status/status.h"
#include "updates/update_module.h"

#ifndef BEST_MARK
#define BEST_MARK 5
#endif

namespace shop {

RatedProduct::~RatedProduct() = default;
int RatedProduct::mark() const { return BEST_MARK; }

// What the program finds by dlsym.
extern "C" {
int RatingsBestMark() { return RatedProduct(1).mark(); }
int RatingsDiscount(int price) { return Discount(Product(price)); }
int RatingsReadPrivate(int price) { return Product(price).price_; }
int RatingsCountInProgram() { return ++Counter<int>(); }
int RatingsCountInModule() { return ++Marks<int>::count; }
}

// Says nothing to be done: this scenario only loads modules.
absl::Status AddRatings(instar::UpdatePlan&) { return absl::OkStatus(); }

}  // namespace shop

INSTAR_UPDATE_MODULE("ratings", shop::AddRatings);
