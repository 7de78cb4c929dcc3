// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the program many_loads has, and its modules change.

#ifndef INSTAR_MANAGER_MODULE_TEST_ITEMS_H_
#define INSTAR_MANAGER_MODULE_TEST_ITEMS_H_

#include "code/updatable_function.h"
#include "heap/updatable.h"

namespace shop {

class Item : public instar::Updatable<Item> {
 public:
  explicit Item(int number) : number_(number) {}
  virtual int Version() const;
  int number() const { return number_; }

 private:
  int number_;
};

INSTAR_UPDATABLE_FUNCTION(int, PriceOf, (const Item& item));

}  // namespace shop

#endif  // INSTAR_MANAGER_MODULE_TEST_ITEMS_H_
