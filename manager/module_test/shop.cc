// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module_test/shop.h"

namespace shop {

std::vector<std::string>& Log() {
  static auto* const log = new std::vector<std::string>;
  return *log;
}

int Price(int article) { return 10 * article; }

}  // namespace shop
