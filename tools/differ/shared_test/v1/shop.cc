// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The library, in its first version.

#include "tools/differ/shared_test/shop.h"

#include <stdexcept>

int shop_sold = 0;

namespace {

int visits = 0;

int Price(int count) { return 10 * count; }

}  // namespace

int shop_discount(int price) { return price; }
int shop_tax(int price) { return price / 10; }

int shop_buy(int count) {
  ++visits;
  if (count > 100) throw std::runtime_error("too many");
  shop_sold += count;
  const int price = shop_discount(Price(count));
  return price + shop_tax(price);
}

std::string shop_report() {
  static int reports = 0;
  return "v1: " + std::to_string(visits) + " visits, " +
         std::to_string(++reports) + " reports";
}

int shop_serve(int (*wait)()) { return wait() + 1; }
