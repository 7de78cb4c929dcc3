// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A class as an updatable one is: with virtual functions.

#ifndef INSTAR_TOOLS_DEFS_TEST_README_SHOP_H_
#define INSTAR_TOOLS_DEFS_TEST_README_SHOP_H_

#include "heap/updatable.h"

namespace readme_shop {

class Product : public instar::Updatable<Product> {
 public:
  virtual int Price() const;
  int Discount(int percent);
};

int Total(int count);

}  // namespace readme_shop

#endif  // INSTAR_TOOLS_DEFS_TEST_README_SHOP_H_
