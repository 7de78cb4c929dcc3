// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_TOOLS_DIFFER_CONVERT_TEST_PRODUCT_H_
#define INSTAR_TOOLS_DIFFER_CONVERT_TEST_PRODUCT_H_

#include <string>

#include "heap/updatable.h"

namespace shop {

class Product : public instar::Updatable<Product, 64> {
 public:
  explicit Product(int price) : price_(price) {}
  int price() const { return price_; }
  const std::string& note() const { return note_; }
  int sold() const { return sold_; }
  void set_sold(int sold) { sold_ = sold; }

 private:
  int price_;
  std::string note_ = "new";
  int sold_ = 0;
};

}  // namespace shop

#endif  // INSTAR_TOOLS_DIFFER_CONVERT_TEST_PRODUCT_H_
