// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module_test/items.h"

namespace shop {

int Item::Version() const { return 1; }
INSTAR_UPDATABLE_FUNCTION_BODY(int, PriceOf, (const Item& item)) {
  return 10 * item.number();
}

}  // namespace shop
