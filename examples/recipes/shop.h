// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program of docs/recipes.md: what it keeps in maps and in globals.

#ifndef INSTAR_EXAMPLES_RECIPES_SHOP_H_
#define INSTAR_EXAMPLES_RECIPES_SHOP_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "heap/updatable.h"

namespace shop {

// [program]
struct Product : instar::Updatable<Product> {
  Product(std::string n, int c) : name(std::move(n)), cents(c) {}
  std::string name;
  int cents;
};
struct Site {  // not updatable
  int orders = 0;
};
struct Settings {
  int discount = 0;  // in percent
};

extern std::map<std::string, std::unique_ptr<Product>> products;  // by pointer
extern std::map<std::string, Site> sites;                         // by value
extern Settings settings;                                         // a global
// [program]

// Cheapest first.
extern std::vector<const Product*> by_price;

std::string Describe(const std::string& product);
int Order(const std::string& product, const std::string& site);
std::string Cheapest();
// Which ends the site.
void Close(const std::string& site);

// Forgets what there was.
void Open();

}  // namespace shop

#endif  // INSTAR_EXAMPLES_RECIPES_SHOP_H_
