// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A module that redefines a function and converts a class.

#include <utility>

#include "absl/status/status.h"
#include "heap/class_version.h"
#include "manager/module_test/items.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace shop {
namespace {

struct NewItem : Item {
  explicit NewItem(Item&& old) noexcept : Item(std::move(old)) {}
  int Version() const override { return 2; }
  void Convert() { surcharge = number(); }
  int surcharge = 0;
};

int NewPriceOf(const Item& item) {
  return 10 * item.number() + static_cast<const NewItem&>(item).surcharge;
}

#ifdef REMEMBERS
int plans = 0;
#endif

absl::Status NewItems(instar::UpdatePlan& plan) {
#ifdef REMEMBERS
  ++plans;
#endif
  plan.Redefine(PriceOf, &NewPriceOf);
  plan.ConvertEagerly<Item, NewItem>();
  return absl::OkStatus();
}

}  // namespace
}  // namespace shop

INSTAR_UPDATE_MODULE("new_items", shop::NewItems);
