// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/convert_test/shop.h"

#include <memory>
#include <vector>

#include "product.h"

namespace shop {
namespace {

std::vector<std::unique_ptr<Product>>& Products() {
  static auto& products = *new std::vector<std::unique_ptr<Product>>();
  return products;
}

std::vector<std::vector<Product>>& Bundles() {
  static auto& bundles = *new std::vector<std::vector<Product>>();
  return bundles;
}

}  // namespace

void Add(int price) { Products().push_back(std::make_unique<Product>(price)); }

void RemoveLast() { Products().pop_back(); }

std::string Describe() {
  std::string text;
  for (const auto& product : Products()) {
    text += " " + std::to_string(product->price());
  }
  return text;
}

void AddBundle() { Bundles().emplace_back().emplace_back(7); }
void RemoveBundle() { Bundles().clear(); }

int visitors() { return 0; }

}  // namespace shop
