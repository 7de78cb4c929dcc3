// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An update that uses what the public headers give, and that its program does
// not use itself. It must link; nobody applies it.

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "code/redefinable.h"
#include "code/symbols/function.h"
#include "code/symbols/variable.h"
#include "continuation/continulet.h"
#include "continuation/generator.h"
#include "heap/class_version.h"
#include "heap/conversion.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "tools/defs_test/readme_shop.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/reboot_thread.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace readme_shop {
namespace {

struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  double mark = 0;
};

int NewPrice(const Product*) { return 2; }
int NewDiscount(Product*, int percent) { return percent; }
int NewTotal(int count) { return count + 1; }
void NewDisplay() {}

absl::Status Update(instar::UpdatePlan& plan) {
  plan.Redefine(&Product::Price, &NewPrice);
  plan.Redefine(&Product::Discount, &NewDiscount);
  plan.Redefine(&Total, &NewTotal);
  plan.RedefineNamed("readme_shop::Total", &NewTotal);
  plan.ConvertEagerly<Product, ProductV2>();
  plan.ConvertLazily<Product, ProductV2>();
  plan.ConvertProgressively<Product, ProductV2>();
  plan.Reboot("display", &NewDisplay, &NewDisplay);
  plan.Reboot("display",
              instar::MainWith([](int) {},
                               [](const instar::HeldThread&) {
                                 return instar::ReadExposed<int>("period");
                               }));
  plan.StartActiveThread("active", [] { instar::UpdatePoint("here"); });
  plan.StartPassiveThread("passive", [] {
    instar::Blocking([] { return 0; });
    instar::SleepFor(std::chrono::milliseconds(1));
    instar::SleepUntil(std::chrono::steady_clock::now());
  });
  plan.Before([] {
    const auto of_virtual = instar::Function::Of(&Product::Price);
    const auto named = instar::Function::Named("readme_shop::Total");
    const auto variable = instar::FindVariable<int>("readme_shop::none");
    return of_virtual.ok() && named.ok() && !variable.ok() &&
                   !instar::CountAllObjects().empty()
               ? absl::OkStatus()
               : absl::InternalError("not found");
  });
  plan.After([] {
    instar::Continulet<int(int)> one("one", [](auto& self, int value) {
      return self.Switch(value + 1) + 1;
    });
    return one.Switch(1) == 2 ? absl::OkStatus() : absl::InternalError("not 2");
  });
  instar::Change(instar::Redefine(&Total, &NewTotal));
  instar::StartActiveThread("other", [] {}).Join();
  instar::RunControlled("self", instar::ThreadKind::kPassive, [] {});
  plan.AtUpdatePoint("between requests");
  plan.IgnoreInlinedCopies();
  return instar::ConvertAll<Product, ProductV2>();
}
INSTAR_UPDATE_MODULE("readme", Update);

}  // namespace
}  // namespace readme_shop
