// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The library, in its second version: other prices, and who buys much is
// thanked.

#include "tools/differ/shared_test/shop.h"

#include <stdexcept>

int shop_sold = 0;

namespace {

int visits = 0;
int thanked = 0;

int Price(int count) { return 11 * count; }

int Thank(int count) {
  if (count < 5) return 0;
  ++thanked;
  return shop_sold > 0 ? 1 : 0;
}

int (*Chosen(bool is_tax))(int) { return is_tax ? &shop_tax : &shop_discount; }

}  // namespace

int shop_discount(int price) { return price; }
int shop_tax(int price) { return price / 10; }

int shop_buy(int count) {
  ++visits;
  if (count > 50) throw std::runtime_error("too many for v2");
  shop_sold += count;
  const int price = shop_discount(Price(count)) - Thank(count);
  return price + shop_tax(price);
}

std::string shop_report() {
  static int reports = 0;
  return "v2: " + std::to_string(visits) + " visits, " +
         std::to_string(++reports) + " reports, " + std::to_string(thanked) +
         " thanked, tax " + std::to_string(Chosen(true)(100)) +
         ", discount to " + std::to_string(Chosen(false)(100));
}

int shop_serve(int (*wait)()) { return wait() + 2; }
