// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_HEAP_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_HEAP_INTERNAL_HEADER_EXAMPLES_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace instar {
namespace header_examples {

struct Product : Updatable<Product> {
  Product(std::string name, int stock);
  void Restock();
  void Sell(int count);
};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept;
};

namespace class_version_h {
extern Product* product;
}  // namespace class_version_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_HEADER_EXAMPLES_H_
