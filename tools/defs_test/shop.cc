// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/defs_test/shop.h"

namespace shop {

int initialized = 0;

namespace {
[[maybe_unused]] const int once = ++initialized;
}  // namespace

int Product::price() const { return price_; }
int Discount(const Product& product) { return product.price() / 2; }
int& IntCounter() { return Counter<int>(); }

}  // namespace shop
