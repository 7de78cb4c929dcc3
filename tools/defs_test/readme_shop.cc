// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/defs_test/readme_shop.h"

namespace readme_shop {

int Product::Price() const { return 1; }
int Product::Discount(int percent) { return percent / 2; }
int Total(int count) { return count; }

}  // namespace readme_shop
