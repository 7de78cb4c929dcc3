// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_TOOLS_DIFFER_CONVERT_TEST_PRODUCT_H_
#define INSTAR_TOOLS_DIFFER_CONVERT_TEST_PRODUCT_H_

#include "heap/updatable.h"

namespace shop {

class Product : public instar::Updatable<Product, 64> {
 public:
  explicit Product(int price) : price_(price) {}
  int price() const { return price_; }

 private:
  int price_;
};

}  // namespace shop

#endif  // INSTAR_TOOLS_DIFFER_CONVERT_TEST_PRODUCT_H_
