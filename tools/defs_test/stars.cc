// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/defs_test/ratings.h"

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

}  // namespace shop
