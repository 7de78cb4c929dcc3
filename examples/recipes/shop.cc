// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/recipes/shop.h"

namespace shop {

std::map<std::string, std::unique_ptr<Product>> products;
std::map<std::string, Site> sites;
Settings settings;
std::vector<const Product*> by_price;

std::string Describe(const std::string& product) {
  return products.at(product)->name;
}

int Order(const std::string& product, const std::string& site) {
  ++sites[site].orders;
  return products.at(product)->cents * (100 - settings.discount) / 100;
}

std::string Cheapest() { return by_price.front()->name; }

void Close(const std::string& site) { sites.erase(site); }

void Open() {
  products.clear();
  products.emplace("chair", std::make_unique<Product>("chair", 4000));
  products.emplace("lamp", std::make_unique<Product>("lamp", 1500));
  by_price = {products["lamp"].get(), products["chair"].get()};
  sites = {{"Brest", {3}}, {"Nantes", {1}}};
  settings = {10};
}

}  // namespace shop
