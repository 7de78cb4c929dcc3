// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program of README.md, which itself uses next to nothing of the library.

#include "manager/manager.h"
#include "tools/defs_test/readme_shop.h"

int main() {
  auto manager = instar::Manager::Start();
  const readme_shop::Product product;
  return manager.ok() ? product.Price() - 1 : 1;
}
