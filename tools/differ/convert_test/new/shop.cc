// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/convert_test/shop.h"

#include <memory>
#include <vector>

#include "heap/appended_member.h"
#include "manager/c/instar_hooks.h"
#include "product.h"

namespace shop {
namespace {

int visitor_count;

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
    product->set_sold(product->sold() + 1);
    text += " " + std::to_string(product->price()) + " (" + product->note() +
            ", " + std::to_string(product->sold()) + ")";
  }
  return text;
}

void AddBundle() { Bundles().emplace_back().emplace_back(7); }
void RemoveBundle() { Bundles().clear(); }

int visitors() { return visitor_count; }

}  // namespace shop

INSTAR_CONVERT(shop::Product, note_, [](const shop::Product& product) {
  return "converted, and too long to lie in the string: " +
         std::to_string(product.price());
});
INSTAR_CONVERT(shop::Product, sold_, 100);

// A new static that begins with what the old version knows.
const char* instar_generated_after() {
  shop::visitor_count = 42;
  return nullptr;
}
const char* instar_generated_undo_after() { return nullptr; }
