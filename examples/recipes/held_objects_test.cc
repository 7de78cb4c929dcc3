// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The updates of docs/recipes.md, which quotes what stands between marks.

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "code/function_entry.h"
#include "examples/recipes/shop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/shadow/shadow.h"
#include "updates/mechanisms/shadow_data.h"
#include "updates/mechanisms/transfer.h"
#include "updates/testing/update_fixture.h"
#include "updates/update_plan.h"

namespace shop {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class HeldObjectsTest : public instar::UpdateFixture {
 protected:
  HeldObjectsTest() {
    Open();
    StartThread("clerk", [] { Describe("lamp"); });
  }
};

// [by pointer]
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  std::string unit = "piece";
};

std::string NewDescribe(const std::string& product) {
  const Product* const found = products.at(product).get();
  const auto* const now = instar::version_cast<ProductV2>(found);
  return found->name + (now == nullptr ? "" : " by the " + now->unit);
}

absl::Status AddUnits(instar::UpdatePlan& plan) {
  plan.ConvertEagerly<Product, ProductV2>();
  plan.Redefine(&Describe, &NewDescribe);
  return absl::OkStatus();
}
// [by pointer]

TEST_F(HeldObjectsTest, ByPointer) {
  const Product* const before = products.at("lamp").get();
  Make("units", &AddUnits);
  Apply();
  EXPECT_EQ(Describe("lamp"), "lamp by the piece");
  EXPECT_EQ(products.at("lamp").get(), before);
  EXPECT_EQ(Cheapest(), "lamp");  // what points to it still does
  Undo();
  EXPECT_EQ(Describe("lamp"), "lamp");
}

// [by value]
struct SiteV2 {
  int orders = 0;
  int cents = 0;  // that were taken
};
std::map<std::string, SiteV2> new_sites;

int NewOrder(const std::string& product, const std::string& site) {
  const int price =
      products.at(product)->cents * (100 - settings.discount) / 100;
  SiteV2& at = new_sites[site];
  ++at.orders;
  at.cents += price;
  return price;
}

absl::Status CountCents(instar::UpdatePlan& plan) {
  using Old = std::map<std::string, Site>;
  using New = std::map<std::string, SiteV2>;
  plan.Add(instar::TransferBothWays<Old, New>(
      "shop::sites", &new_sites,
      [](const Old& old, New& to) {
        for (const auto& [name, site] : old) to[name] = {site.orders, 0};
        return absl::OkStatus();
      },
      [](const New& now, Old& back) {
        for (const auto& [name, site] : now) back[name] = {site.orders};
        return absl::OkStatus();
      }));
  plan.Redefine(&Order, &NewOrder);
  return absl::OkStatus();
}
// [by value]

TEST_F(HeldObjectsTest, ByValue) {
  Make("cents", &CountCents);
  Apply();
  EXPECT_EQ(Order("lamp", "Brest"), 1350);
  EXPECT_EQ(new_sites.at("Brest").orders, 4);
  EXPECT_EQ(new_sites.at("Brest").cents, 1350);
  Undo();
  EXPECT_EQ(sites.at("Brest").orders, 4);  // carried back
  EXPECT_EQ(sites.at("Nantes").orders, 1);
}

// [a global]
struct SettingsV2 {
  int discount = 0;
  std::map<std::string, int> of_site;
};
SettingsV2 new_settings;

int OrderAtDiscount(const std::string& product, const std::string& site) {
  ++sites[site].orders;
  const auto own = new_settings.of_site.find(site);
  const int discount =
      own == new_settings.of_site.end() ? new_settings.discount : own->second;
  return products.at(product)->cents * (100 - discount) / 100;
}

absl::Status DiscountsBySite(instar::UpdatePlan& plan) {
  plan.Add(instar::Transfer<Settings, SettingsV2>(
      "shop::settings", &new_settings, [](const Settings& old, SettingsV2& to) {
        to.discount = old.discount;
        to.of_site["Brest"] = 50;
        return absl::OkStatus();
      }));
  plan.Redefine(&Order, &OrderAtDiscount);
  return absl::OkStatus();
}
// [a global]

TEST_F(HeldObjectsTest, AGlobal) {
  Make("discounts", &DiscountsBySite);
  const auto forecast = update().Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->lost_by_undo,
              ElementsAre(HasSubstr("what the new version has changed of it")));
  Apply();
  EXPECT_EQ(Order("lamp", "Brest"), 750);
  EXPECT_EQ(Order("lamp", "Nantes"), 1350);
  Undo();
  EXPECT_EQ(Order("lamp", "Brest"), 1350);
}

// [shadow data]
instar::Shadow<int> cents_of("cents of a site");

int OrderAndCount(const std::string& product, const std::string& site) {
  const int price = instar::Original(&Order)(product, site);
  cents_of.FindOrAttach(&sites[site]) += price;
  return price;
}

void CloseAndForget(const std::string& site) {
  cents_of.Detach(&sites[site]);  // another site may lie there later
  auto* const close = instar::Original(&Close);
  close(site);
}

absl::Status CountBeside(instar::UpdatePlan& plan) {
  plan.Add(instar::EndWithUpdate(&cents_of));
  plan.Redefine(&Order, &OrderAndCount);
  plan.Redefine(&Close, &CloseAndForget);
  return absl::OkStatus();
}
// [shadow data]

TEST_F(HeldObjectsTest, BesideTheObject) {
  Make("cents", &CountBeside);
  const auto forecast = update().Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->lost_by_undo,
              ElementsAre("shadow data cents of a site: what has been "
                          "attached"));
  Apply();
  const Site* const brest = &sites.at("Brest");
  EXPECT_EQ(Order("lamp", "Brest"), 1350);
  EXPECT_EQ(Order("lamp", "Brest"), 1350);
  EXPECT_EQ(*cents_of.Find(brest), 2700);
  EXPECT_EQ(cents_of.Find(&sites.at("Nantes")), nullptr);
  Close("Brest");
  EXPECT_EQ(cents_of.Find(brest), nullptr);
  EXPECT_EQ(Order("lamp", "Nantes"), 1350);
  EXPECT_EQ(cents_of.size(), 1u);
  Undo();
  EXPECT_EQ(cents_of.size(), 0u);
  EXPECT_EQ(sites.at("Nantes").orders, 2);
}

// [an order]
struct Shipped : Product {
  explicit Shipped(Product&& old) noexcept : Product(std::move(old)) {}
  void Convert() { shipping = name == "lamp" ? 5000 : 0; }
  int shipping = 0;  // it breaks
};

void SortByPrice() {
  const auto price = [](const Product* product) {
    const auto* const now = instar::version_cast<Shipped>(product);
    return product->cents + (now == nullptr ? 0 : now->shipping);
  };
  std::sort(
      by_price.begin(), by_price.end(),
      [&](const Product* a, const Product* b) { return price(a) < price(b); });
}

absl::Status AddShipping(instar::UpdatePlan& plan) {
  const auto sort = [] {
    SortByPrice();
    return absl::OkStatus();
  };
  const auto nothing = [] { return absl::OkStatus(); };
  plan.Before(nothing, /*undo=*/sort);  // which is done last
  plan.ConvertEagerly<Product, Shipped>();
  plan.After(sort, /*undo=*/nothing);
  return absl::OkStatus();
}
// [an order]

TEST_F(HeldObjectsTest, AnOrder) {
  Make("shipping", &AddShipping);
  Apply();
  EXPECT_EQ(Cheapest(), "chair");
  Undo();
  EXPECT_EQ(Cheapest(), "lamp");
}

}  // namespace
}  // namespace shop
