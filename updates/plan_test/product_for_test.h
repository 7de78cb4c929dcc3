// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A class that plans convert, and its next version.

#ifndef INSTAR_UPDATES_PLAN_TEST_PRODUCT_FOR_TEST_H_
#define INSTAR_UPDATES_PLAN_TEST_PRODUCT_FOR_TEST_H_

#include <utility>

#include "heap/updatable.h"

namespace instar {
namespace updates_test {

struct Product : Updatable<Product> {
  explicit Product(int s) : stock(s) {}
  virtual int Version() const { return 1; }
  int stock;
};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  int Version() const override { return 2; }
  int mark = 5;
};

}  // namespace updates_test
}  // namespace instar

#endif  // INSTAR_UPDATES_PLAN_TEST_PRODUCT_FOR_TEST_H_
