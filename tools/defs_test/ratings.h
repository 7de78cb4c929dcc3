// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_TOOLS_DEFS_TEST_RATINGS_H_
#define INSTAR_TOOLS_DEFS_TEST_RATINGS_H_

#include "tools/defs_test/shop.h"

namespace shop {

class RatedProduct : public Product {
 public:
  using Product::Product;
  virtual ~RatedProduct();
  virtual int mark() const;
};

// A static variable of a template that only modules instantiate.
template <typename T>
struct Marks {
  static int count;
};
template <typename T>
int Marks<T>::count = 0;

}  // namespace shop

#endif  // INSTAR_TOOLS_DEFS_TEST_RATINGS_H_
