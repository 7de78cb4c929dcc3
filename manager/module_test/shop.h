// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program whose update modules are read and loaded by the tests.

#ifndef INSTAR_MANAGER_MODULE_TEST_SHOP_H_
#define INSTAR_MANAGER_MODULE_TEST_SHOP_H_

#include <string>
#include <vector>

namespace shop {

// What modules did, in order.
std::vector<std::string>& Log();

int Price(int article);

}  // namespace shop

#endif  // INSTAR_MANAGER_MODULE_TEST_SHOP_H_
