// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The module of module_test: the next version of the program's class.

#include <string>
#include <utility>

#include "heap/class_version.h"
#include "heap/conversion.h"
#include "heap/module_test_product.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace module_test {
namespace {

struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  std::string Describe() const override { return "v2 " + name; }
  void Convert() { votes = static_cast<int>(name.size()); }
  int votes = 0;
};

}  // namespace

EXPORTED instar::ConversionStep* MakeStep(bool lazily) {
  return lazily ? instar::LazyConversion<Product, ProductV2>().release()
                : instar::EagerConversion<Product, ProductV2>().release();
}

EXPORTED Product* MakeProduct(bool of_the_next_version) {
  if (of_the_next_version) return new ProductV2(Product("module"));
  return new Product("module");
}

EXPORTED void Destroy(Product* product) { delete product; }

EXPORTED int Votes(Product* product) {
  ProductV2* v2 = instar::version_cast<ProductV2>(product);
  return v2 == nullptr ? -1 : v2->votes;
}

}  // namespace module_test
