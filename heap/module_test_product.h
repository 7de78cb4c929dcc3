// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the program and the module of module_test share: a class in a header.

#ifndef INSTAR_HEAP_MODULE_TEST_PRODUCT_H_
#define INSTAR_HEAP_MODULE_TEST_PRODUCT_H_

#include <string>
#include <utility>

#include "heap/conversion.h"
#include "heap/updatable.h"

namespace module_test {

struct Product : instar::Updatable<Product> {
  explicit Product(std::string n = "") : name(std::move(n)) {}
  virtual std::string Describe() const { return "v1 " + name; }
  std::string name;
};

// What the module exports.
extern "C" {
using MakeStepFunction = instar::ConversionStep*(bool lazily);
using MakeProductFunction = Product*(bool of_the_next_version);
using DestroyFunction = void(Product* product);
using VotesFunction = int(Product* product);
}

}  // namespace module_test

#endif  // INSTAR_HEAP_MODULE_TEST_PRODUCT_H_
