// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_TOOLS_DEFS_TEST_SHOP_H_
#define INSTAR_TOOLS_DEFS_TEST_SHOP_H_

namespace shop {

class Product {
 public:
  explicit Product(int price) : price_(price) {}
  int price() const;

 private:
  int price_;
};

// How many static initializers of shop.cc have run.
extern int initialized;

// Never called by the program itself.
int Discount(const Product& product);

// A static variable of a template that the program instantiates.
template <typename T>
int& Counter() {
  static int counter = 0;
  return counter;
}
int& IntCounter();

}  // namespace shop

#endif  // INSTAR_TOOLS_DEFS_TEST_SHOP_H_
